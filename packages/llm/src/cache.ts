import { isMeshError, toMs, type Duration } from "@plexus/core";
import type { Bucket, Entry, Fleet } from "./fleet.ts";

/** What stands under a key: an answer, or the process that is asking for it now. */
type Cached<T> = { readonly value: T } | { readonly by: string; readonly forMs: number };

/** Where an answer came from. */
export type CacheOutcome = "hit" | "miss" | "shared";

export interface CacheOptions {
  /** How long answers are kept. Default 1 h. */
  readonly ttl?: Duration;
  /** What all of them may take on the broker. Default 64 MiB. */
  readonly maxBytes?: number;
}

const MAX_ENTRY_BYTES = 256 * 1024;
const GRACE_MS = 1_000;

/**
 * Answers that the fleet has already had. Of several processes that want the same one at the same time, one asks and the others wait
 * for its answer: whoever writes its name under the key first. A miss costs one write. Where the broker cannot be
 * asked, there is no cache.
 */
export class Cache {
  readonly #bucket: Bucket;
  readonly #client: string;
  readonly #ttlMs: number;
  /** What this process is asking for. */
  readonly #asking = new Map<string, Promise<unknown>>();

  constructor(fleet: Fleet, { ttl = "1h", maxBytes = 64 * 1024 * 1024 }: CacheOptions) {
    this.#client = fleet.client;
    this.#ttlMs = toMs(ttl);
    this.#bucket = fleet.bucket("cache", { storage: "memory", maxBytes });
  }

  /**
   * The answer under a key, or what `ask` comes to.
   * @param patienceMs how long this process may take to answer, if it is the one that asks
   */
  async get<T>(
    key: string,
    ask: () => Promise<T>,
    { patienceMs, signal }: { patienceMs: number; signal: AbortSignal },
  ): Promise<{ readonly value: T; readonly outcome: CacheOutcome }> {
    const here = this.#asking.get(key) as Promise<T> | undefined;
    if (here !== undefined) {
      // If that one fails, this one asks for itself: the other's signal or deadline may have been the reason.
      const value = await unless(signal, here).catch(() => undefined);
      signal.throwIfAborted();
      if (value !== undefined) return { value, outcome: "shared" };
    }
    for (;;) {
      /* oxlint-disable no-await-in-loop -- until somebody has the answer */
      const claimed = await this.#claim(key, patienceMs);
      if (claimed !== false) return { value: await this.#ask(key, claimed, ask), outcome: "miss" };
      const found = (await this.#bucket.get(key))?.value as Cached<T> | undefined;
      if (found === undefined) continue;
      if ("value" in found) return { value: found.value, outcome: "hit" };
      const awaited = await this.#await(key, found.forMs, signal);
      if (awaited !== undefined) return { value: awaited.value as T, outcome: "shared" };
      /* oxlint-enable no-await-in-loop */
    }
  }

  /** The revision of the claim; undefined: the broker cannot be asked; false: somebody has claimed it, or answered. */
  async #claim(key: string, patienceMs: number): Promise<number | undefined | false> {
    try {
      // A claim passes away by itself if its process dies; nobody tells of that, so whoever waits must know when.
      const forMs = Math.ceil(patienceMs) + GRACE_MS;
      const claim: Cached<never> = { by: this.#client, forMs };
      return await this.#bucket.put(key, claim, { revision: 0, ttl: forMs });
    } catch (error) {
      return isMeshError(error, "CONFLICT") ? false : undefined;
    }
  }

  async #ask<T>(key: string, claim: number | undefined, ask: () => Promise<T>): Promise<T> {
    const asked = ask();
    this.#asking.set(key, asked);
    const write = (value: Cached<T> | undefined, ttl?: number): void => {
      if (claim === undefined) return;
      this.#bucket
        .put(key, value, { revision: claim, ...(ttl === undefined ? {} : { ttl }) })
        .catch(() => undefined); // it expires, or somebody else has the answer
    };
    try {
      const value = await asked;
      const fits = JSON.stringify(value).length <= MAX_ENTRY_BYTES;
      write(fits ? { value } : undefined, this.#ttlMs);
      return value;
    } catch (error) {
      write(undefined);
      throw error;
    } finally {
      this.#asking.delete(key);
    }
  }

  /** What another process answers; undefined: it has given up, or taken too long. */
  async #await(
    key: string,
    patienceMs: number,
    signal: AbortSignal,
  ): Promise<{ readonly value: unknown } | undefined> {
    const { promise, resolve } = Promise.withResolvers<{ value: unknown } | undefined>();
    const timer = setTimeout(() => resolve(undefined), patienceMs);
    const hear = ({ value }: Entry): void => {
      const found = value as Cached<unknown> | undefined;
      if (found === undefined) resolve(undefined);
      else if ("value" in found) resolve(found);
    };
    const stop = await this.#bucket.watch(hear, key).catch(() => undefined);
    try {
      return await unless(signal, promise);
    } finally {
      clearTimeout(timer);
      stop?.();
    }
  }
}

/** What a promise comes to, unless the signal fires first. */
async function unless<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  signal.throwIfAborted();
  const { promise, reject } = Promise.withResolvers<never>();
  const abort = (): void => reject(signal.reason as Error);
  signal.addEventListener("abort", abort, { once: true });
  try {
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
