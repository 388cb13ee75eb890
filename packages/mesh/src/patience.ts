import { MAX_TIMER_MS, MeshError, toMs, type Duration } from "@plexus/core";
import { nowMs } from "./clock.ts";

/** How long somebody waits. */
export interface PatienceOptions {
  /** Default 30 s. */
  readonly timeout?: Duration | undefined;
  readonly signal?: AbortSignal | undefined;
}

const DEFAULT_MS = 30_000; // a cluster that has lost a broker may need ten to elect new leaders

/** The time that one operation of several attempts may take; aborting `signal` ends every wait of it. Disposing stops the clock. */
export class Patience implements Disposable {
  /** Monotonic. */
  readonly untilMs: number;
  readonly #what: string;
  readonly #ended = new AbortController();
  readonly #timer: NodeJS.Timeout;
  readonly #caller: AbortSignal | undefined;
  readonly #cancel: () => void;

  constructor(what: string, { timeout, signal }: PatienceOptions) {
    const ms = timeout === undefined ? DEFAULT_MS : Math.min(toMs(timeout), MAX_TIMER_MS);
    this.#what = what;
    this.untilMs = nowMs() + ms;
    this.#timer = setTimeout(
      () => this.#ended.abort(new MeshError("TIMEOUT", `${what}: no answer within ${ms} ms.`)),
      ms,
    );
    this.#caller = signal;
    this.#cancel = () => {
      const text = `${what}: the caller gave up.`;
      this.#ended.abort(new MeshError("CANCELED", text, { cause: signal?.reason }));
    };
    if (signal?.aborted) this.#cancel();
    signal?.addEventListener("abort", this.#cancel, { once: true });
  }

  get signal(): AbortSignal {
    return this.#ended.signal;
  }

  /** Throws `TIMEOUT` or `CANCELED` once it has ended. */
  demand(): void {
    this.signal.throwIfAborted();
  }

  /** The outcome of `work`, or `TIMEOUT` or `CANCELED` if this ends first; `work` goes on then. */
  async for<T>(work: Promise<T>): Promise<T> {
    const { signal } = this;
    work.catch(() => undefined);
    if (signal.aborted) throw signal.reason as Error;
    let stop: (() => void) | undefined;
    const ended = new Promise<never>((_, reject) => {
      stop = () => reject(signal.reason as Error);
      signal.addEventListener("abort", stop, { once: true });
    });
    try {
      return await Promise.race([work, ended]);
    } finally {
      signal.removeEventListener("abort", stop!);
    }
  }

  /** An error that keeps whoever reads it from believing that nothing has happened. */
  doubtful(): MeshError {
    const text = `${this.#what}: it may or may not be written.`;
    return new MeshError("TIMEOUT", text, { cause: this.signal.reason });
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#caller?.removeEventListener("abort", this.#cancel);
  }
}
