import { TradingError } from "./errors.ts";

/**
 * Restores the order of consecutively numbered items: an early one is held until its predecessors have come, one that
 * was already released is a counted duplicate. At most `limit` items are held; one more is `BUFFER_FULL`, because
 * skipping ahead would change outcomes silently.
 */
export class InOrder<T> {
  readonly #held = new Map<number, T>();
  readonly #limit: number;
  #next = 0;
  #duplicates = 0;

  constructor(limit = 1_024) {
    this.#limit = limit;
  }

  /** The items that became ready, in order; often just this one. */
  push(number: number, item: T): T[] {
    if (number < this.#next || this.#held.has(number)) {
      this.#duplicates += 1;
      return [];
    }
    if (number > this.#next) {
      if (this.#held.size >= this.#limit) {
        throw new TradingError(
          "BUFFER_FULL",
          `${this.#limit} items wait for number ${this.#next}; number ${number} cannot be held`,
        );
      }
      this.#held.set(number, item);
      return [];
    }
    const ready = [item];
    this.#next += 1;
    for (
      let held = this.#held.get(this.#next);
      held !== undefined;
      held = this.#held.get(this.#next)
    ) {
      this.#held.delete(this.#next);
      ready.push(held);
      this.#next += 1;
    }
    return ready;
  }

  /** The number that is waited for. */
  get next(): number {
    return this.#next;
  }

  get held(): number {
    return this.#held.size;
  }

  get duplicates(): number {
    return this.#duplicates;
  }
}
