import { nowMs } from "./clock.ts";

const SHARE_MS = 5;

/**
 * Starts works in their order, but for no more than a few milliseconds of one turn of the event loop: a burst of handlers
 * that do not wait for anything would otherwise hold up sockets and timers, signs of life among them, until the last has run.
 */
export class TurnShare {
  #queue: (() => void)[] = [];
  #head = 0;
  #untilMs = 0;
  #scheduled = false;
  readonly #turn = (): void => this.#begin();

  /** Starts `work` now if this turn's share is not used up and nothing is ahead of it, else in a later turn. It must not throw. */
  start(work: () => void): void {
    if (!this.#scheduled) {
      this.#scheduled = true;
      this.#untilMs = nowMs() + SHARE_MS;
      setImmediate(this.#turn);
    }
    if (this.#head === this.#queue.length && nowMs() < this.#untilMs) work();
    else this.#queue.push(work);
  }

  #begin(): void {
    if (this.#head === this.#queue.length) {
      this.#scheduled = false;
      return;
    }
    setImmediate(this.#turn);
    this.#untilMs = nowMs() + SHARE_MS;
    while (this.#head < this.#queue.length && nowMs() < this.#untilMs) this.#queue[this.#head++]!();
    if (this.#head < this.#queue.length) return;
    this.#queue = [];
    this.#head = 0;
  }
}
