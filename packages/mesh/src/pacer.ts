const BATCH_BYTES = 8 * 1024;
const MAX_HELD_BYTES = 256 * 1024;

/** One arrived message and what handles it. */
interface Arrival {
  readonly size: number;
  handle(): void;
}

/**
 * Spreads a burst of arrivals over several turns of the event loop. The client hands over everything that one read of
 * the socket held; handling it all in one turn would hold back the first answers until the last is computed, and with
 * frames both sides would take turns instead of working at the same time. Order is kept; a backlog is not built up.
 */
export class Pacer {
  #queue: Arrival[] = [];
  #head = 0;
  #held = 0;
  #spent = 0;
  #scheduled = false;
  readonly #turn = (): void => this.#drain();

  /** Handles `arrival` now if this turn's share is not used up and nothing is ahead of it, else in a later turn. */
  arrive(arrival: Arrival): void {
    if (!this.#scheduled) {
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

  /** Resolves once everything that has arrived so far is handled. */
  async settled(): Promise<void> {
    await new Promise<void>((handle) => this.arrive({ size: 0, handle }));
  }

  #drain(): void {
    this.#spent = 0;
    this.#scheduled = false;
    if (this.#head === this.#queue.length) return;
    this.#scheduled = true;
    setImmediate(this.#turn);
    while (this.#head < this.#queue.length) {
      if (this.#spent >= BATCH_BYTES && this.#held < MAX_HELD_BYTES) break;
      const arrival = this.#queue[this.#head++]!;
      this.#held -= arrival.size;
      this.#spent += arrival.size;
      arrival.handle();
    }
    if (this.#head < this.#queue.length) return;
    this.#queue = [];
    this.#head = 0;
  }
}
