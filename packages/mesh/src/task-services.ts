import type { JetStream } from "./nats/jetstream.ts";
import type { TaskStore } from "./nats/task-store.ts";
import type { Runtime } from "./runtime.ts";
import { surely } from "./surely.ts";

/** What submitting and executing tasks share. */
export class TaskServices {
  readonly runtime: Runtime;
  readonly js: JetStream;
  readonly store: TaskStore;
  #closed = false;

  constructor(runtime: Runtime, js: JetStream, store: TaskStore) {
    this.runtime = runtime;
    this.js = js;
    this.store = store;
  }

  /**
   * Repeats a write until the broker has taken or refused it, through disconnections. The write must be safe to repeat.
   * Rejects with what refused it, `CONFLICT` above all, or with the last failure once `untilMs` (monotonic) has passed.
   */
  surely<T>(write: () => Promise<T>, untilMs = Infinity): Promise<T> {
    return surely(this.runtime, write, {
      untilMs,
      closed: () => this.#closed,
      reopen: () => {
        this.store.forget();
        return this.store.open();
      },
    });
  }

  close(): void {
    this.#closed = true;
  }
}
