import { MeshError } from "@plexus/core";
import { nowMs } from "./clock.ts";
import type { JetStream } from "./nats/jetstream.ts";
import type { JournalStore } from "./nats/journal-store.ts";
import type { Runtime } from "./runtime.ts";
import { surely, unlessCut } from "./surely.ts";

const PATIENCE_MS = 30_000; // with a broker that is away, or a cluster without a leader

/** What appending to and reading of journals share. */
export class JournalServices {
  readonly runtime: Runtime;
  readonly js: JetStream;
  readonly store: JournalStore;
  #inboxes = 0;
  #closed = false;

  constructor(runtime: Runtime, js: JetStream, store: JournalStore) {
    this.runtime = runtime;
    this.js = js;
    this.store = store;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** A subject for the answers to one cursor. */
  nextInbox(): string {
    const { subjects, client } = this.runtime;
    return `${subjects.inbox(client)}.jrnl.${this.#inboxes++}`;
  }

  /**
   * Repeats a request until the broker has taken or refused it, through disconnections. It must be safe to repeat.
   * @param unneeded true: nobody wants it any more, and the last failure is thrown
   */
  surely<T>(
    ask: () => Promise<T>,
    unneeded: () => boolean = () => false,
    untilMs = nowMs() + PATIENCE_MS,
  ): Promise<T> {
    return surely(this.runtime, () => this.#ask(ask), {
      untilMs,
      closed: () => this.#closed || unneeded(),
      reopen: async () => this.store.forget(),
    });
  }

  close(): void {
    this.#closed = true;
  }

  /** Without a connection, asking would only wait for a timeout. */
  async #ask<T>(ask: () => Promise<T>): Promise<T> {
    if (this.runtime.link.connected) return unlessCut(this.runtime, ask());
    throw new MeshError("NOT_CONNECTED", "There is no broker.");
  }
}
