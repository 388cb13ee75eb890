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

const UNLIMITED: Rate = { perMinute: Infinity, burst: Infinity };
const NOTHING_SAID_MS = 50;

/**
 * A provider's limit of requests and tokens a minute, kept by all processes of a fleet together: the permits lie in one record, and
 * whoever takes one does so by compare-and-set. Who dies with a permit has wasted it.
 */
export class RateLimit {
  readonly #bucket: Bucket;
  readonly #key: string;
  readonly #requests: Rate;
  readonly #tokens: Rate;
  #view: View | undefined;
  #stop: (() => void) | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  #waiting = 0;
  /** Tokens that calls have taken less (or more) than was thought; goes into the next write. */
  #correction = 0;

  constructor(bucket: Bucket, key: string, limits: { rpm?: number; tpm?: number }) {
    this.#bucket = bucket;
    this.#key = key;
    this.#requests = limits.rpm === undefined ? UNLIMITED : perMinute(limits.rpm);
    this.#tokens = limits.tpm === undefined ? UNLIMITED : perMinute(limits.tpm);
  }

  async open(): Promise<void> {
    this.#stop = await this.#bucket.watch(({ value, revision }) => {
      if (value === undefined) this.#view = undefined;
      else this.#see(value as Levels, revision);
    }, this.#key);
  }

  /** What is left, as a fraction of a full bucket; of the two limits the smaller one. */
  get headroom(): number {
    if (this.#waiting > 0) return 0;
    const { requests, tokens } = this.#levels(performance.now());
    const left = [
      [requests, this.#requests.burst],
      [tokens, this.#tokens.burst],
    ].map(([level, burst]) => (burst === Infinity ? 1 : Math.max(0, level! / burst!)));
    return Math.min(...left);
  }

  /**
   * Takes a permit for a call of so many tokens, waiting for it if need be. False: there will be none within `patienceMs`.
   * Rejects with the signal's reason, or when the broker cannot be asked.
   */
  async take(tokens: number, patienceMs: number, signal: AbortSignal): Promise<boolean> {
    if (patienceMs === 0 && this.#waiting > 0) return false;
    const untilMs = performance.now() + patienceMs;
    this.#waiting++;
    const taken = this.#turn.then(() => this.#take(tokens, untilMs, signal));
    this.#turn = taken.catch(() => undefined);
    try {
      return await taken;
    } finally {
      this.#waiting--;
    }
  }

  /** A call has taken another number of tokens than {@link take} was told. */
  correct(estimated: number, actual: number): void {
    if (this.#tokens !== UNLIMITED) this.#correction += estimated - actual;
  }

  close(): void {
    this.#stop?.();
  }

  async #take(tokens: number, untilMs: number, signal: AbortSignal): Promise<boolean> {
    for (;;) {
      signal.throwIfAborted();
      const now = performance.now();
      const levels = this.#levels(now);
      const wait = Math.max(
        waitMs(this.#requests, levels.requests, 1),
        waitMs(this.#tokens, levels.tokens, tokens),
      );
      /* oxlint-disable no-await-in-loop -- until there is a permit */
      if (wait === 0) {
        if (await this.#write(levels, tokens, now)) return true;
      } else if (now + wait > untilMs) return false;
      else await pause(Math.ceil(wait), signal);
      /* oxlint-enable no-await-in-loop */
    }
  }

  async #write(levels: Levels, tokens: number, nowMs: number): Promise<boolean> {
    const correction = this.#correction;
    const left = { requests: levels.requests - 1, tokens: levels.tokens - tokens };
    try {
      const revision = await this.#bucket.put(this.#key, left, {
        revision: this.#view?.revision ?? 0,
      });
      this.#correction -= correction;
      if (revision > (this.#view?.revision ?? 0))
        this.#view = { levels: left, revision, atMs: nowMs };
      return true;
    } catch (error) {
      if (!isMeshError(error, "CONFLICT")) throw error;
      const { revision } = this.#view ?? { revision: 0 };
      const found = await this.#bucket.get(this.#key);
      if (found) this.#see(found.value as Levels, found.revision);
      else if (this.#view?.revision === revision) this.#view = undefined; // lost with the broker's memory
      if (this.#view?.revision === revision) await pause(NOTHING_SAID_MS);
      return false;
    }
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
