import type { Cell } from "./histogram.ts";
import type { StateStore } from "./nats/state-store.ts";
import type { Runtime } from "./runtime.ts";
import { isPassing, untilConnected } from "./surely.ts";

const PAUSE_MS = 20;
const MAX_PAUSE_MS = 500;

/**
 * Barriers in a state's log, shared by all reads of this process that wait for one: those that come while one is being written share
 * the next, as theirs must be written after they began.
 */
export class StateBarrier {
  readonly #runtime: Runtime;
  readonly #store: StateStore;
  #underWay: Promise<number> | undefined;
  #next: Promise<number> | undefined;
  readonly #written: Cell;
  #closed = false;

  /** @param written counts them */
  constructor(runtime: Runtime, store: StateStore, written: Cell) {
    this.#runtime = runtime;
    this.#store = store;
    this.#written = written;
  }

  /** Resolves with the sequence of a barrier that is written after this call. Rejects if the broker refuses it. */
  write(): Promise<number> {
    if (this.#next !== undefined) return this.#next;
    const before = this.#underWay;
    if (before === undefined) return this.#begin();
    this.#next = before
      .catch(() => undefined)
      .then(() => {
        this.#next = undefined;
        return this.#begin();
      });
    return this.#next;
  }

  close(): void {
    this.#closed = true;
  }

  #begin(): Promise<number> {
    const written = this.#surely();
    this.#underWay = written;
    void written
      .catch(() => undefined)
      .finally(() => {
        if (this.#underWay === written) this.#underWay = undefined;
      });
    return written;
  }

  /** A barrier that was given up for lost and is stored all the same does no harm. */
  async #surely(): Promise<number> {
    for (let pause = PAUSE_MS; ; pause = Math.min(pause * 2, MAX_PAUSE_MS)) {
      try {
        const sequence = await this.#store.barrier();
        this.#written.value++;
        return sequence;
      } catch (error) {
        if (!isPassing(error) || this.#closed || this.#runtime.link.closed) throw error;
        await untilConnected(this.#runtime, pause);
      }
    }
  }
}
