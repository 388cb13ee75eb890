const BATCH_BYTES = 8 * 1024;
const FREE_BYTES = 1024; // a lone message is no burst and needs no turn of its own
const MAX_HELD_BYTES = 256 * 1024;

/** One arrived message and what handles it. */
interface Arrival {
  readonly size: number;
  handle(): void;
}

/**
 * Spreads a burst of arrivals over several turns of the event loop. The client hands over everything that one read of
 * the socket held. Handling it all in one turn would hold back the first answers until the last is computed, and two
 * processes that exchange frames would take turns instead of working at the same time. Order is kept, and a backlog
 * is not built up: beyond 256 KiB everything is handled at once. For requests and answers; events, which flow one
 * way, only lose by it.
 */
export class Pacer {
  #queue: Arrival[] = [];
  #head = 0;
  #held = 0;
  #spent = 0;
  #scheduled = false;
  #idle: (() => void)[] = [];
  readonly #turn = (): void => this.#endTurn();
  readonly #batch = (): void => this.#handleBatch();

  /** Handles `arrival` now if this turn's share is not used up and nothing is ahead of it, else in a later turn. */
  arrive(arrival: Arrival): void {
    if (!this.#scheduled && this.#spent + arrival.size > FREE_BYTES) {
      this.#scheduled = true;
      setImmediate(this.#turn);
    }
    if (this.#head === this.#queue.length && this.#spent < BATCH_BYTES) {
      this.#spent += arrival.size;
      arrival.handle();
      return;
    }
    this.#queue.push(arrival);
    this.#held += arrival.size;
  }

  /** Resolves once everything that has arrived is handled. */
  async settled(): Promise<void> {
    if (this.#head === this.#queue.length) return;
    await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  /** The next batch waits one more turn, so that what this one produced is on its way before. */
  #endTurn(): void {
    this.#spent = 0;
    if (this.#head < this.#queue.length) setImmediate(this.#batch);
    else this.#scheduled = false;
  }

  #handleBatch(): void {
    setImmediate(this.#turn);
    while (this.#head < this.#queue.length) {
      if (this.#spent >= BATCH_BYTES && this.#held < MAX_HELD_BYTES) return;
      const arrival = this.#queue[this.#head++]!;
      this.#held -= arrival.size;
      this.#spent += arrival.size;
      arrival.handle();
    }
    this.#queue = [];
    this.#head = 0;
    for (const resolve of this.#idle.splice(0)) resolve();
  }
}
