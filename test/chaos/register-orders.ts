import type { Mark } from "./register.ts";

/** What a client is told to do in one run. */
export interface Order {
  readonly seed: number;
  /** The registers, for each of which it has a loop of its own. */
  readonly keys: readonly string[];
  readonly ms: number;
  /** How long it pauses at most after each operation. */
  readonly pauseMs: number;
  /** Whether anything is broken meanwhile, so that failures are to be expected. */
  readonly faults: boolean;
  /** Takes what it has heard for what is there: a mistake that the checker must find. */
  readonly broken: boolean;
}

/** What a client has seen of a register. */
export interface Reading {
  readonly mark: Mark;
  readonly revision: number;
}

export interface TickOrder {
  readonly role: "write" | "read";
  readonly key: string;
  readonly ms: number;
  readonly everyMs: number;
}

/** When something was confirmed, or read, and its revision. */
export interface Tick {
  readonly at: number;
  readonly revision: number;
}

export type TickReport = readonly Tick[];
