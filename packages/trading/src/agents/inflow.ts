import type { Station } from "./station.ts";

/** What an event is to a process. */
export type Turn =
  /** It is to be handled and timed. */
  | "new"
  /** It is to be handled; a predecessor has done so before, and has timed it. */
  | "known"
  /** It is stored a second time. */
  | "repeated";

/** Follows the events of one hop, subject by subject, until each of them has ended. */
export class Inflow {
  readonly #station: Pick<Station, "handled" | "duplicates" | "missing">;
  readonly #endsExpected: number;
  /** Numbers that are expected next, by subject. */
  readonly #next = new Map<string, number>();
  #ends = 0;

  /** @param endsExpected how many subjects there are */
  constructor(station: Pick<Station, "handled" | "duplicates" | "missing">, endsExpected: number) {
    this.#station = station;
    this.#endsExpected = endsExpected;
  }

  take(subject: string, { kind, number }: { kind: string; number: number }): Turn {
    const { handled, duplicates, missing } = this.#station;
    const next = this.#next.get(subject) ?? 0;
    if (number < next) {
      duplicates.value += 1;
      return "repeated";
    }
    missing.value += number - next;
    this.#next.set(subject, number + 1);
    if (kind === "end") this.#ends += 1;
    if (number < (handled.get(subject) ?? 0)) return "known";
    handled.set(subject, number + 1);
    return "new";
  }

  get ended(): boolean {
    return this.#ends >= this.#endsExpected;
  }
}
