/** Where a pure state machine takes the time from, in milliseconds. */
export type Clock = { now(): number };

type Timer = { at: number; callback: () => void };

/** A clock that moves only when told, with timers that fire in the order of their times. */
export class ManualClock implements Clock {
  #now: number;
  #timers: Timer[] = []; // sorted by time; those of one time in the order in which they were set

  /** @param start the first time it shows, in milliseconds */
  constructor(start: number = 0) {
    this.#now = start;
  }

  now(): number {
    return this.#now;
  }

  /**
   * Calls back once the clock has advanced by `ms`.
   * @returns a function that cancels it
   */
  setTimeout(callback: () => void, ms: number): () => void {
    const timer = { at: this.#now + Math.max(0, ms), callback };
    const later = this.#timers.findIndex(({ at }) => at > timer.at);
    this.#timers.splice(later === -1 ? this.#timers.length : later, 0, timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  /**
   * Moves the clock by `ms`, calling back each timer that is due – those that other timers set included – at exactly its
   * time. What a callback throws comes out of here, with the clock at that callback's time.
   */
  advance(ms: number): void {
    if (!(ms >= 0)) throw new RangeError(`A clock cannot advance by ${ms} ms`);
    const end = this.#now + ms;
    for (let timer = this.#timers[0]; timer && timer.at <= end; timer = this.#timers[0]) {
      this.#timers.shift();
      this.#now = timer.at;
      timer.callback();
    }
    this.#now = end;
  }
}
