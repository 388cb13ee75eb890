import { MeshError, decodePayload, encodePayload, toMs, type Duration } from "@plexus/core";
import type { Bucket, BucketOptions, Entry, Family, Fleet, Meter } from "./fleet.ts";

interface Kept {
  readonly bytes: Uint8Array;
  readonly revision: number;
  readonly untilMs: number;
}

let clients = 0;

/** What a single process uses instead of a mesh: nothing is shared with others, and nothing survives it. */
export function localFleet(): Fleet {
  const buckets = new Map<string, LocalBucket>();
  return {
    client: `local-${process.pid}-${++clients}`,
    bucket(name, options = {}) {
      let bucket = buckets.get(name);
      if (bucket === undefined) buckets.set(name, (bucket = new LocalBucket(options)));
      return bucket;
    },
    meter: localMeter(),
  };
}

class LocalBucket implements Bucket {
  readonly #kept = new Map<string, Kept>();
  readonly #watchers = new Set<(entry: Entry) => void>();
  readonly #ttlMs: number;
  readonly #maxBytes: number;
  #bytes = 0;
  #revision = 0;

  constructor({ ttl, maxBytes = Infinity }: BucketOptions) {
    this.#ttlMs = ttl === undefined ? Infinity : toMs(ttl);
    this.#maxBytes = maxBytes;
  }

  async get(key: string): Promise<Entry | undefined> {
    return this.#read(key);
  }

  async put(
    key: string,
    value: unknown,
    options: { revision?: number; ttl?: Duration } = {},
  ): Promise<number> {
    const { revision } = options;
    if (revision !== undefined && revision !== (this.#read(key)?.revision ?? 0)) {
      throw new MeshError("CONFLICT", `${key} has another revision than ${revision}.`);
    }
    const ttlMs = options.ttl === undefined ? this.#ttlMs : toMs(options.ttl);
    const written = ++this.#revision;
    this.#drop(key);
    if (value !== undefined) {
      const untilMs = performance.now() + ttlMs;
      const bytes = encodePayload(value).slice();
      this.#kept.set(key, { bytes, revision: written, untilMs });
      this.#bytes += bytes.length;
      this.#makeRoom();
    }
    const entry = { key, value: structuredClone(value), revision: written };
    for (const tell of this.#watchers) queueMicrotask(() => tell(entry));
    return written;
  }

  async keys(): Promise<string[]> {
    return [...this.#kept.keys()].filter((key) => this.#read(key) !== undefined);
  }

  async watch(listener: (entry: Entry) => void, key?: string): Promise<() => void> {
    const tell = (entry: Entry): void => {
      if (this.#watchers.has(tell) && (key === undefined || entry.key === key)) listener(entry);
    };
    this.#watchers.add(tell);
    for (const own of this.#kept.keys()) {
      const entry = this.#read(own);
      if (entry) tell(entry);
    }
    return () => void this.#watchers.delete(tell);
  }

  #read(key: string): Entry | undefined {
    const kept = this.#kept.get(key);
    if (kept === undefined) return undefined;
    if (kept.untilMs > performance.now()) {
      return { key, value: decodePayload(kept.bytes), revision: kept.revision };
    }
    this.#drop(key);
    return undefined;
  }

  /** Forgets what is over, and the oldest values if all of them are too much. */
  #makeRoom(): void {
    const now = performance.now();
    for (const [key, { untilMs }] of this.#kept) {
      if (untilMs > now && this.#bytes <= this.#maxBytes) return;
      this.#drop(key);
    }
  }

  #drop(key: string): void {
    this.#bytes -= this.#kept.get(key)?.bytes.length ?? 0;
    this.#kept.delete(key);
  }
}

function family<C>(make: () => C): Family<C> {
  const cells = new Map<string, C>();
  return {
    with(labels) {
      const key = Object.values(labels).join("\u0000");
      let cell = cells.get(key);
      if (cell === undefined) cells.set(key, (cell = make()));
      return cell;
    },
  };
}

/** Counts, for whoever asks the cells themselves: nobody scrapes it. */
function localMeter(): Meter {
  const families = new Map<string, Family<unknown>>();
  const once = <C>(name: string, make: () => C): Family<C> => {
    if (!families.has(name)) families.set(name, family(make));
    return families.get(name) as Family<C>;
  };
  return {
    counter: (name) => once(name, () => ({ value: 0 })),
    gauge: (name) => once(name, () => ({ value: 0 })),
    histogram: (name) => once(name, () => ({ observe: () => undefined })),
  };
}
