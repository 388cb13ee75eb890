import { nowMicros } from "../micros.ts";

/**
 * How often a source looks what is due. At low rates as often as timers go, from 2,000 slots a second on every 5 ms,
 * since events published together share a message, and waking processes up is what costs most.
 */
const MIN_TICK_MS = 1;
const MAX_TICK_MS = 5;
const SLOTS_PER_TICK_MS = 400;
/** Events that one turn may publish when a source has to catch up. */
const BURST = 64;

/** Whose turn it is: publishes what belongs to a slot, if it is this source's. */
export type PublishSlot = (position: number, dueAtUs: number) => Promise<void> | undefined;

/**
 * Offers slots in an open loop: each at its own time, however long the earlier ones took. A source that is late catches
 * up in bursts, and nothing is left out, so latency counted from the due time has no coordinated omission.
 */
export class Pace {
  readonly #publish: PublishSlot;
  readonly #usPerSlot: number;
  readonly #tickMs: number;
  #limit: number;
  #position = 0;

  constructor(publish: PublishSlot, rate: number, limit: number) {
    this.#publish = publish;
    this.#usPerSlot = 1_000_000 / rate;
    this.#tickMs = Math.min(MAX_TICK_MS, Math.max(MIN_TICK_MS, rate / SLOTS_PER_TICK_MS));
    this.#limit = limit;
  }

  /** Ends at this slot, or at once if that is past. */
  stop(limit: number): void {
    this.#limit = Math.min(this.#limit, limit);
  }

  /** Runs until the limit. `leadUs` publishes slots that much before they are due. */
  async run(startAtUs: number, leadUs = 0): Promise<void> {
    const dueAt = (position: number): number => Math.round(startAtUs + position * this.#usPerSlot);
    while (this.#position < this.#limit) {
      const now = nowMicros() + leadUs;
      for (
        let published = 0;
        published < BURST && this.#position < this.#limit && dueAt(this.#position) <= now;
        this.#position += 1
      ) {
        const pressure = this.#publish(this.#position, dueAt(this.#position));
        if (pressure === undefined) continue;
        published += 1;
        // Settles at once unless the broker is slower than we are.
        await pressure;
      }
      if (this.#position >= this.#limit) return;
      const wait = (dueAt(this.#position) - leadUs - nowMicros()) / 1_000;
      // This loop is the clock.
      await (wait > 0 ? sleep(Math.max(this.#tickMs, wait)) : turn());
    }
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.min(ms, 50)));
}

/** Lets what was published leave and what has arrived come in. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
