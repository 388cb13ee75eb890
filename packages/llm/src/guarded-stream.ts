import { gaveUp } from "./attempt.ts";
import { Failure } from "./failure.ts";
import type { ModelPart } from "./model.ts";

/** What a stream may take. */
export interface StreamLimits {
  /** Until the first piece, and between two, in ms. A reader that is slow does not count. */
  readonly idleMs: number;
  readonly signal: AbortSignal;
}

/**
 * A model's stream that cannot stall: fails with `timeout` before the first piece and `stall` behind it, and ends with the
 * caller's signal.
 */
export async function* guardedStream(
  { idleMs, signal }: StreamLimits,
  open: (signal: AbortSignal) => AsyncIterable<ModelPart>,
): AsyncGenerator<ModelPart> {
  if (signal.aborted) throw gaveUp(signal);
  const own = new AbortController();
  let cut: Failure | undefined;
  let wake: (() => void) | undefined;
  const end = (failure: Failure): void => {
    cut ??= failure;
    own.abort(failure);
    wake?.();
  };
  const abort = (): void => end(gaveUp(signal));
  signal.addEventListener("abort", abort, { once: true });
  let begun = false;
  const stalled = (): void =>
    end(
      begun
        ? new Failure("stall", `the stream has stalled for ${idleMs} ms.`)
        : new Failure("timeout", `no answer within ${idleMs} ms.`),
    );
  const parts = open(own.signal)[Symbol.asyncIterator]();
  try {
    for (;;) {
      const timer = setTimeout(stalled, idleMs);
      const woken = new Promise<undefined>((resolve) => {
        wake = () => resolve(undefined);
      });
      const next = await Promise.race([parts.next(), woken]).finally(() => clearTimeout(timer));
      if (cut !== undefined) throw cut;
      if (next === undefined || next.done) return;
      begun = true;
      yield next.value;
    }
  } catch (error) {
    throw cut ?? error;
  } finally {
    signal.removeEventListener("abort", abort);
    own.abort();
    const closed = parts.return?.(); // not waited for: what hangs would hang here, too
    closed?.catch(() => undefined);
  }
}
