/** Where results of nodes with a `cache` policy are kept. One that rejects is done without. */
export interface Cache {
  get(key: string): Promise<{ readonly value: unknown } | undefined>;
  /** `ttlMs`: how long; Infinity: as long as there is room. */
  set(key: string, value: unknown, ttlMs: number): Promise<void>;
}

/** A cache in this process that forgets the oldest beyond `limit` entries (default 10,000). */
export class MemoryCache implements Cache {
  readonly #limit: number;
  readonly #now: () => number;
  readonly #entries = new Map<string, { value: unknown; until: number }>();

  constructor(options: { readonly limit?: number; readonly now?: () => number } = {}) {
    const { limit = 10_000, now = Date.now } = options;
    this.#limit = limit;
    this.#now = now;
  }

  get(key: string): Promise<{ readonly value: unknown } | undefined> {
    const entry = this.#entries.get(key);
    if (entry === undefined || entry.until > this.#now()) return Promise.resolve(entry);
    this.#entries.delete(key);
    return Promise.resolve(undefined);
  }

  set(key: string, value: unknown, ttlMs: number): Promise<void> {
    this.#entries.delete(key);
    this.#entries.set(key, { value, until: this.#now() + ttlMs });
    const [oldest] = this.#entries.keys();
    if (this.#entries.size > this.#limit && oldest !== undefined) this.#entries.delete(oldest);
    return Promise.resolve();
  }
}
