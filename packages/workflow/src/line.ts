/** Who has come first is served first, per key. */
export class Line {
  readonly #tails = new Map<string, Promise<void>>();

  /** Resolves, when it is one's turn, to what ends it. Rejects when the signal fires before. */
  async enter(key: string, signal?: AbortSignal): Promise<() => void> {
    signal?.throwIfAborted();
    const before = this.#tails.get(key);
    const served = Promise.withResolvers<void>();
    const tail = before === undefined ? served.promise : before.then(() => served.promise);
    this.#tails.set(key, tail);
    const leave = (): void => {
      served.resolve();
      if (this.#tails.get(key) === tail) this.#tails.delete(key);
    };
    try {
      await untilAborted(before, signal);
      return leave;
    } catch (error) {
      leave();
      throw error;
    }
  }
}

/** Resolves with the promise; rejects with the signal's reason if that fires first. */
export async function untilAborted(
  promise: Promise<void> | undefined,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (signal === undefined) return promise;
  signal.throwIfAborted();
  const abandoned = Promise.withResolvers<never>();
  const abandon = (): void => abandoned.reject(signal.reason);
  signal.addEventListener("abort", abandon, { once: true });
  try {
    await Promise.race([promise, abandoned.promise]);
  } finally {
    signal.removeEventListener("abort", abandon);
  }
  return undefined;
}
