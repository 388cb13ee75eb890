import type { Random } from "./clock.ts";

/** Exponential back-off with full jitter (Brooker, AWS Architecture Blog, 2015). Times in ms. */
export interface Backoff {
  readonly firstMs: number;
  readonly maxMs: number;
  readonly factor: number;
}

export const DEFAULT_BACKOFF: Backoff = { firstMs: 20, maxMs: 2_000, factor: 2 };

/** How long to wait before `attempt` (the first retry is 1): uniform between 0 and the exponential ceiling. */
export function backoffMs(backoff: Backoff, attempt: number, random: Random): number {
  const ceiling = Math.min(backoff.maxMs, backoff.firstMs * backoff.factor ** (attempt - 1));
  return random() * ceiling;
}

/** What became of one attempt of a call. */
export type AttemptOutcome =
  | "not_delivered" // the broker said that nobody listens there
  | "rejected" // the instance said that it did not run it (OVERLOADED, draining)
  | "unknown"; // lost, timed out or disconnected: it may have run

/** Whether another instance may be tried: what surely did not run always, what may have run only if idempotent. */
export function mayTryElsewhere(outcome: AttemptOutcome, idempotent: boolean): boolean {
  return outcome !== "unknown" || idempotent;
}
