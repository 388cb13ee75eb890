import { backoffMs, DEFAULT_BACKOFF, isMeshError } from "@plexus/core";

const ATTEMPTS = 6;

/** Codes after which an idempotent call to the owner of a symbol may simply be made again. */
const PASSING = new Set([
  "AGENT_LOST",
  "CONFLICT",
  "NO_AGENT",
  "NOT_CONNECTED",
  "OVERLOADED",
  "TIMEOUT",
]);

/** Repeats an idempotent call whose failure may pass. */
export async function persist<T>(call: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      // oxlint-disable-next-line no-await-in-loop -- one attempt after the other
      return await call();
    } catch (error) {
      if (attempt === ATTEMPTS || !isMeshError(error) || !PASSING.has(error.code)) throw error;
    }
    const pause = backoffMs(DEFAULT_BACKOFF, attempt, Math.random);
    // oxlint-disable-next-line no-await-in-loop
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}
