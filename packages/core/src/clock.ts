/** Where a pure state machine gets the time from: milliseconds, monotonic within a process. */
export interface Clock {
  now(): number;
}

/** Where it gets randomness from: a number in [0, 1). */
export type Random = () => number;
