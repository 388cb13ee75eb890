/** What may be taken: `perMinute` on average, and up to `burst` at once. */
export interface Rate {
  readonly perMinute: number;
  readonly burst: number;
}

/** What was left in a bucket when somebody looked. */
export interface Level {
  readonly level: number;
  readonly atMs: number;
}

/** A share of a minute's permits: with it, no minute has more than 102 % of the rate, however eager its takers. */
const BURST_SHARE = 0.02;

/** A rate of so many a minute. */
export function perMinute(count: number): Rate {
  return { perMinute: count, burst: Math.max(1, count * BURST_SHARE) };
}

/** What is in the bucket now. Pure, like the rest. */
export function levelAt(rate: Rate, { level, atMs }: Level, nowMs: number): number {
  const refilled = (Math.max(0, nowMs - atMs) * rate.perMinute) / 60_000;
  return Math.min(rate.burst, level + refilled);
}

/** When the bucket will hold `count`, in ms from now. More than fits is waited for like a full bucket. */
export function waitMs(rate: Rate, level: number, count: number): number {
  const missing = Math.min(count, rate.burst) - level;
  return missing <= 0 ? 0 : (missing * 60_000) / rate.perMinute;
}
