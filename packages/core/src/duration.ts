import { MeshError, quote } from "./errors.ts";

/** A length of time: a number of milliseconds, or a string such as `"250ms"`, `"5s"`, `"1.5m"`, `"2h"`, `"1d"`. */
export type Duration = number | `${number}${"ms" | "s" | "m" | "h" | "d"}`;

const UNIT_MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
/** The longest wait that a timer can have, in ms: a longer one would fire at once. */
export const MAX_TIMER_MS = 2 ** 31 - 1;
/** So that deadlines in microseconds, and times to live in nanoseconds, are numbers that others can read. */
const MAX_MS = 36_500 * UNIT_MS.d;
const PATTERN = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/;

/**
 * Milliseconds of a {@link Duration}; of one that is longer than a hundred years, those of a hundred years. Throws `INVALID_CONTRACT`
 * for anything negative, not finite or unreadable.
 */
export function toMs(duration: Duration): number {
  if (typeof duration === "number") {
    if (Number.isFinite(duration) && duration >= 0) return Math.min(duration, MAX_MS);
  } else if (typeof duration === "string") {
    const match = PATTERN.exec(duration);
    const ms = match ? Number(match[1]) * UNIT_MS[match[2] as keyof typeof UNIT_MS] : Infinity;
    if (ms < Infinity) return Math.min(ms, MAX_MS);
  }
  throw new MeshError(
    "INVALID_CONTRACT",
    `${quote(duration)} is not a duration: use milliseconds or "250ms", "5s", "2m", "1h", "1d".`,
  );
}

/** {@link toMs} of a wait by a timer: what is longer than a timer can wait, is as long as it can, 24 days. */
export function toTimerMs(duration: Duration): number {
  return Math.min(toMs(duration), MAX_TIMER_MS);
}
