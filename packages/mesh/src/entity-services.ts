import type { EntityStore } from "./nats/entity-store.ts";
import type { JetStream } from "./nats/jetstream.ts";
import type { Runtime } from "./runtime.ts";
import { surely } from "./surely.ts";

/** What calling and hosting entities share. */
export class EntityServices {
  readonly runtime: Runtime;
  readonly js: JetStream;
  readonly store: EntityStore;
  #closed = false;

  constructor(runtime: Runtime, js: JetStream, store: EntityStore) {
    this.runtime = runtime;
    this.js = js;
    this.store = store;
  }

  /**
   * Repeats a request until the broker has taken or refused it, through disconnections. It must be safe to repeat.
   * @param unneeded true: nobody wants it any more, and the last failure is thrown
   * @param untilMs monotonic, after which the last failure is thrown
   */
  surely<T>(
    request: () => Promise<T>,
    unneeded: () => boolean = () => false,
    untilMs = Infinity,
  ): Promise<T> {
    return surely(this.runtime, request, {
      untilMs,
      closed: () => this.#closed || unneeded(),
      reopen: () => this.store.reopen(),
    });
  }

  close(): void {
    this.#closed = true;
  }
}
