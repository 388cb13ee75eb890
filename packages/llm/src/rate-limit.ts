import { isMeshError } from "@plexus/core";
import type { Bucket } from "./fleet.ts";
import { pause } from "./pause.ts";
import { levelAt, perMinute, waitMs, type Rate } from "./token-bucket.ts";

/** What stands in the fleet's record of a deployment's limits: what was left when it was written. */
interface Levels {
  readonly requests: number;
  readonly tokens: number;
}

interface View {
  readonly levels: Levels;
  readonly revision: number;
  /** When this process saw it, which is never before it was written: so what has flowed in since is never overrated. */
  readonly atMs: number;
}

/** Somebody who waits for a permit. */
interface Waiter {
  readonly tokens: number;
  readonly untilMs: number;
  readonly signal: AbortSignal;
  readonly resolve: (taken: boolean) => void;
  readonly reject: (error: unknown) => void;
}

const UNLIMITED: Rate = { perMinute: Infinity, burst: Infinity };
/** Those who wait are served in batches of what flows in meanwhile: with every write a little of it is lost, see {@link View}. */
const BATCH_MS = 100;
const NOTHING_SAID_MS = 50;

/**
 * A provider's limit of requests and tokens a minute, kept by all processes of a fleet together: the permits lie in one record, and
 * whoever takes some does so by compare-and-set. Who dies with a permit has wasted it.
 */
export class RateLimit {
  readonly #bucket: Bucket;
  readonly #key: string;
  readonly #requests: Rate;
  readonly #tokens: Rate;
  readonly #batch: number;
  #view: View | undefined;
  #stop: (() => void) | undefined;
  #queue: Waiter[] = [];
  #pumping = false;
  /** Tokens that calls have taken less (or more) than was thought; goes into the next write. */
  #correction = 0;

  constructor(bucket: Bucket, key: string, limits: { rpm?: number; tpm?: number }) {
    this.#bucket = bucket;
    this.#key = key;
    this.#requests = limits.rpm === undefined ? UNLIMITED : perMinute(limits.rpm);
    this.#tokens = limits.tpm === undefined ? UNLIMITED : perMinute(limits.tpm);
    const inBatch = ((limits.rpm ?? Infinity) * BATCH_MS) / 60_000;
    this.#batch = Math.max(1, Math.min(this.#requests.burst, inBatch));
  }

  async open(): Promise<void> {
    this.#stop = await this.#bucket.watch(({ value, revision }) => {
      if (value === undefined) this.#view = undefined;
      else this.#see(value as Levels, revision);
    }, this.#key);
  }

  /** What is left, as a fraction of a full bucket; of the two limits the smaller one. */
  get headroom(): number {
    if (this.#queue.length > 0) return 0;
    const { requests, tokens } = this.#levels(performance.now());
    return Math.min(part(requests, this.#requests), part(tokens, this.#tokens));
  }

  /**
   * Takes a permit for a call of so many tokens, waiting for it if need be. False: there will be none within `patienceMs`.
   * Rejects with the signal's reason, or when the broker cannot be asked.
   */
  async take(tokens: number, patienceMs: number, signal: AbortSignal): Promise<boolean> {
    if (patienceMs === 0 && this.#queue.length > 0) return false;
    signal.throwIfAborted();
    const untilMs = performance.now() + patienceMs;
    const { promise, resolve, reject } = Promise.withResolvers<boolean>();
    const waiter = { tokens, untilMs, signal, resolve, reject };
    const abort = (): void => {
      this.#queue = this.#queue.filter((one) => one !== waiter);
      reject(signal.reason as Error);
    };
    signal.addEventListener("abort", abort, { once: true });
    this.#queue.push(waiter);
    if (!this.#pumping) void this.#pump();
    return promise.finally(() => signal.removeEventListener("abort", abort));
  }

  /** A call has taken another number of tokens than {@link take} was told. */
  correct(estimated: number, actual: number): void {
    if (this.#tokens !== UNLIMITED) this.#correction += estimated - actual;
  }

  close(): void {
    this.#stop?.();
  }

  /** Serves those who wait, in their order, for as long as there are any. */
  async #pump(): Promise<void> {
    this.#pumping = true;
    try {
      while (this.#queue.length > 0) {
        const now = performance.now();
        const levels = this.#levels(now);
        this.#dismiss(levels, now);
        const batch = this.#queue.slice(0, Math.floor(this.#batch));
        const wait = this.#waitMs(levels, batch);
        // Until everybody has been served.
        if (batch.length > 0 && wait === 0) await this.#serve(batch, levels, now);
        else if (batch.length > 0) await pause(Math.ceil(wait));
      }
    } catch (error) {
      for (const { reject } of this.#queue.splice(0)) reject(error);
    } finally {
      this.#pumping = false;
    }
  }

  /** Sends those away whose patience ends before their turn comes. */
  #dismiss(levels: Levels, nowMs: number): void {
    const ahead: Waiter[] = [];
    for (const waiter of this.#queue) {
      ahead.push(waiter);
      if (nowMs + this.#waitMs(levels, ahead) <= waiter.untilMs) continue;
      ahead.pop();
      waiter.resolve(false);
    }
    this.#queue = ahead;
  }

  #waitMs(levels: Levels, waiters: readonly Waiter[]): number {
    const tokens = waiters.reduce((sum, waiter) => sum + waiter.tokens, 0);
    return Math.max(
      waitMs(this.#requests, levels.requests, waiters.length),
      waitMs(this.#tokens, levels.tokens, tokens),
    );
  }

  async #serve(batch: readonly Waiter[], levels: Levels, nowMs: number): Promise<void> {
    const correction = this.#correction;
    const tokens = batch.reduce((sum, waiter) => sum + waiter.tokens, 0);
    const left = { requests: levels.requests - batch.length, tokens: levels.tokens - tokens };
    const revision = this.#view?.revision ?? 0;
    try {
      const written = await this.#bucket.put(this.#key, left, { revision });
      this.#correction -= correction;
      if (written > (this.#view?.revision ?? 0)) {
        this.#view = { levels: left, revision: written, atMs: nowMs };
      }
      this.#queue = this.#queue.filter((one) => !batch.includes(one));
      for (const { resolve } of batch) resolve(true);
    } catch (error) {
      if (!isMeshError(error, "CONFLICT")) throw error;
      if (this.#view?.revision === revision) await this.#look(revision);
    }
  }

  /** Somebody was faster, and the notice of it is not here yet. */
  async #look(revision: number): Promise<void> {
    const found = await this.#bucket.get(this.#key);
    if (found) this.#see(found.value as Levels, found.revision);
    else if (this.#view?.revision === revision) this.#view = undefined; // lost with the broker's memory
    if (this.#view?.revision === revision) await pause(NOTHING_SAID_MS);
  }

  #see(levels: Levels, revision: number): void {
    if (revision > (this.#view?.revision ?? 0)) {
      this.#view = { levels, revision, atMs: performance.now() };
    }
  }

  #levels(nowMs: number): Levels {
    const view = this.#view;
    if (view === undefined) return { requests: this.#requests.burst, tokens: this.#tokens.burst };
    const { levels, atMs } = view;
    const tokens = levels.tokens + this.#correction;
    return {
      requests: levelAt(this.#requests, { level: levels.requests, atMs }, nowMs),
      tokens: levelAt(this.#tokens, { level: tokens, atMs }, nowMs),
    };
  }
}

function part(level: number, { burst }: Rate): number {
  return burst === Infinity ? 1 : Math.max(0, level / burst);
}
