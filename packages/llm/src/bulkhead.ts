import { MeshError } from "@plexus/core";
import { gaveUp } from "./attempt.ts";

/** Lets so many calls run at once, and so many wait. What does not fit is told at once. */
export class Bulkhead {
  readonly #limit: number;
  readonly #queueLimit: number;
  readonly #waiting = new Set<() => void>();
  #running = 0;

  constructor(limit: number, queueLimit: number) {
    this.#limit = limit;
    this.#queueLimit = queueLimit;
  }

  get running(): number {
    return this.#running;
  }

  get full(): boolean {
    return this.#running >= this.#limit;
  }

  /** Takes a place, or waits for one. Rejects with `OVERLOADED`, or a `Failure` when the signal fires. {@link leave} gives it back. */
  async enter(signal: AbortSignal): Promise<void> {
    if (!this.full) {
      this.#running++;
      return;
    }
    if (this.#waiting.size >= this.#queueLimit) {
      throw new MeshError(
        "OVERLOADED",
        `${this.#limit} calls are under way and ${this.#waiting.size} wait: raise concurrency, or ask less.`,
      );
    }
    if (signal.aborted) throw gaveUp(signal);
    await new Promise<void>((resolve, reject) => {
      const abort = (): void => {
        this.#waiting.delete(start);
        reject(gaveUp(signal));
      };
      const start = (): void => {
        this.#waiting.delete(start);
        signal.removeEventListener("abort", abort);
        resolve(); // with the place of whoever left
      };
      this.#waiting.add(start);
      signal.addEventListener("abort", abort, { once: true });
    });
  }

  leave(): void {
    const [next] = this.#waiting;
    if (next) next();
    else this.#running--;
  }
}
