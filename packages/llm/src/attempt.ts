import { Failure } from "./failure.ts";

/**
 * Runs one attempt. It ends with its own deadline and with the caller's signal, even if what it runs does not react to either, so
 * that nothing can hang on it: not a caller, not a half-open breaker. The signal it runs with is its own: no attempt can abort
 * another one.
 */
export async function attempt<T>(
  timeoutMs: number,
  signal: AbortSignal,
  run: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  if (signal.aborted) throw gaveUp(signal);
  const own = new AbortController();
  const { promise: ended, reject } = Promise.withResolvers<never>();
  const end = (failure: Failure): void => {
    reject(failure);
    own.abort(failure);
  };
  const timer = setTimeout(
    () => end(new Failure("timeout", `no answer within ${timeoutMs} ms.`)),
    timeoutMs,
  );
  const abort = (): void => end(gaveUp(signal));
  signal.addEventListener("abort", abort, { once: true });
  try {
    return await Promise.race([run(own.signal), ended]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", abort);
  }
}

/** What the caller's signal means for an attempt: its own reason, if that is one of ours. */
export function gaveUp({ reason }: AbortSignal): Failure {
  if (reason instanceof Failure) return reason;
  return new Failure("aborted", "the caller gave up.", { cause: reason });
}
