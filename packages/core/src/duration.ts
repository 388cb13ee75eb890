import { MeshError, quote } from "./errors.ts";

/** A length of time: a number of milliseconds, or a string such as `"250ms"`, `"5s"`, `"1.5m"`, `"2h"`, `"1d"`. */
export type Duration = number | `${number}${"ms" | "s" | "m" | "h" | "d"}`;

const UNIT_MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const PATTERN = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/;

/** Milliseconds of a {@link Duration}. Throws `INVALID_CONTRACT` for anything negative, not finite or unreadable. */
export function toMs(duration: Duration): number {
  if (typeof duration === "number") {
    if (Number.isFinite(duration) && duration >= 0) return duration;
  } else if (typeof duration === "string") {
    const match = PATTERN.exec(duration);
    const ms = match ? Number(match[1]) * UNIT_MS[match[2] as keyof typeof UNIT_MS] : Infinity;
    if (ms < Infinity) return ms;
  }
  throw new MeshError(
    "INVALID_CONTRACT",
    `${quote(duration)} is not a duration: use milliseconds or "250ms", "5s", "2m", "1h", "1d".`,
  );
}
