import CircuitBreaker from "opossum";
import { Failure } from "./failure.ts";

/** What a deployment's breaker goes by. */
export interface BreakerOptions {
  /** The longest that an attempt can take, in ms: the window in which failures are counted is a multiple of it. */
  readonly attemptMs: number;
  /** Share of failed calls, in percent, above which it opens. Default 50. */
  readonly errorPercent?: number;
  /** Calls that the window must hold before it can open. Default 5, at least 5. */
  readonly minimumCalls?: number;
  /** How long it stays open before one call may try. Default 10 s, in ms. */
  readonly resetMs?: number;
}

export type BreakerState = "closed" | "open" | "half-open";

const WINDOW_ATTEMPTS = 4; // a window shorter than a call forgets failures before they can add up
const MIN_WINDOW_MS = 10_000;
const MIN_CALLS = 5;

/**
 * opossum as calls of models need it. What it does not do here, and why: no timeout of its own (it would report a failure and let
 * the call run on; attempts end by themselves), no percentiles (sorted for every call), no capacity (a full bulkhead would
 * count as failure), no AbortController (opossum's is one for all calls).
 */
export class Breaker {
  readonly resetMs: number;
  /** How long a call counts. */
  readonly windowMs: number;
  readonly #opossum: CircuitBreaker<[() => Promise<unknown>]>;

  constructor(name: string, options: BreakerOptions) {
    const { attemptMs, errorPercent = 50, minimumCalls = MIN_CALLS, resetMs = 10_000 } = options;
    this.resetMs = resetMs;
    this.windowMs = Math.max(MIN_WINDOW_MS, WINDOW_ATTEMPTS * attemptMs);
    this.#opossum = new CircuitBreaker((work: () => Promise<unknown>) => work(), {
      name,
      timeout: false,
      errorThresholdPercentage: errorPercent,
      volumeThreshold: Math.max(MIN_CALLS, minimumCalls),
      resetTimeout: resetMs,
      rollingCountTimeout: this.windowMs,
      rollingCountBuckets: 10,
      rollingPercentilesEnabled: false,
      errorFilter: (error: unknown) => this.#isNeutral(error),
    });
  }

  get state(): BreakerState {
    if (this.#opossum.closed) return "closed";
    return this.#opossum.halfOpen ? "half-open" : "open";
  }

  /** opossum's own figures of the window. */
  get stats(): CircuitBreaker.Stats {
    return this.#opossum.stats;
  }

  /** True if {@link run} would reject at once. While half-open it takes one call. */
  get refuses(): boolean {
    return !this.#opossum.closed && !this.#opossum.pendingClose;
  }

  /** Runs an attempt, which must end by itself. Rejects with what it does, or with opossum's `EOPENBREAKER`. */
  run<T>(work: () => Promise<T>): Promise<T> {
    return this.#opossum.fire(work) as Promise<T>;
  }

  /** Opens it, or begins the time until it is half-open anew: opossum would leave an open one as it is. */
  open(): void {
    this.#opossum.close();
    this.#opossum.open();
  }

  close(): void {
    this.#opossum.close();
  }

  onChange(listener: (state: BreakerState) => void): void {
    this.#opossum.on("open", () => listener("open"));
    this.#opossum.on("halfOpen", () => listener("half-open"));
    this.#opossum.on("close", () => listener("closed"));
  }

  dispose(): void {
    this.#opossum.shutdown();
  }

  /**
   * To opossum an error that it filters is a success. While it is closed that is what neutral failures should be; while half-open it
   * would close it, although nobody has seen the provider work: so there they count, and it opens again.
   */
  #isNeutral(error: unknown): boolean {
    if (this.#opossum.halfOpen) return false;
    return error instanceof Failure && error.rule.breaker === "neutral";
  }
}
