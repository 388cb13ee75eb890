import { setImmediate as nextTurn } from "node:timers/promises";
import { MAX_TIMER_MS, isMeshError, toMs, type Duration } from "@plexus/core";
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
  /** What this process has been answered and the broker does not have yet. */
  readonly #unwritten = new Map<
    string,
    { readonly answer: unknown; readonly written: Promise<void> }
  >();

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
    const unwritten = this.#unwritten.get(key);
    if (unwritten !== undefined) return { value: unwritten.answer as T, outcome: "hit" };
    const here = this.#asking.get(key) as Promise<T> | undefined;
    if (here !== undefined) {
      // If that one fails, this one asks for itself: the other's signal or deadline may have been the reason.
      const value = await unless(signal, here).catch(() => undefined);
      signal.throwIfAborted();
      if (value !== undefined) return { value, outcome: "shared" };
    }
    for (;;) {
      // Until somebody has the answer.
      const claimed = await this.#claim(key, patienceMs);
      if (claimed !== false) return { value: await this.#ask(key, claimed, ask), outcome: "miss" };
      signal.throwIfAborted();
      const entry = await this.#bucket.get(key).catch(() => undefined); // then the next claim tells
      const found = entry?.value as Cached<T> | undefined;
      if (found === undefined) continue;
      if ("value" in found) return { value: found.value, outcome: "hit" };
      const awaited = await this.#await(key, found.forMs, signal);
      if (awaited !== undefined) return { value: awaited.value as T, outcome: "shared" };
    }
  }

  /** Resolves when every answer is written. */
  async settle(): Promise<void> {
    await Promise.all([...this.#unwritten.values()].map(({ written }) => written));
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
    try {
      const value = await asked;
      if (claim !== undefined) this.#writeLater(key, value, claim);
      return value;
    } catch (error) {
      if (claim !== undefined) void this.#write(key, undefined, claim);
      throw error;
    } finally {
      this.#asking.delete(key);
    }
  }

  /** Whoever has asked does not wait until the others have the answer. */
  #writeLater(key: string, answer: unknown, claim: number): void {
    const written = nextTurn().then(() => {
      const fits = JSON.stringify(answer).length <= MAX_ENTRY_BYTES;
      return this.#write(key, fits ? { value: answer } : undefined, claim);
    });
    this.#unwritten.set(key, {
      answer,
      written: written.finally(() => this.#unwritten.delete(key)),
    });
  }

  /** In place of the claim: the answer, or nothing. */
  async #write(key: string, value: Cached<unknown> | undefined, claim: number): Promise<void> {
    const ttl = value === undefined ? {} : { ttl: this.#ttlMs };
    // If that fails, the claim expires, or somebody else has the answer.
    await this.#bucket.put(key, value, { revision: claim, ...ttl }).catch(() => undefined);
  }

  /** What another process answers; undefined: it has given up, or taken too long. */
  async #await(
    key: string,
    patienceMs: number,
    signal: AbortSignal,
  ): Promise<{ readonly value: unknown } | undefined> {
    const { promise, resolve } = Promise.withResolvers<{ value: unknown } | undefined>();
    const timer = setTimeout(() => resolve(undefined), Math.min(patienceMs, MAX_TIMER_MS));
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
