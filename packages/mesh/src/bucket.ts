import {
  MeshError,
  decodePayload,
  encodePayload,
  isMeshError,
  toMs,
  type Duration,
} from "@plexus/core";
import { JetStream } from "./nats/jetstream.ts";
import { BucketStore, type BucketSettings, type StoredEntry } from "./nats/bucket-store.ts";
import type { Runtime } from "./runtime.ts";
import { surely } from "./surely.ts";

/** Options of {@link Mesh.bucket}: how it keeps what is in it. The first process of the mesh to use the bucket decides. */
export interface BucketOptions {
  /** `file` (default) survives a restart of the broker, `memory` does not. */
  readonly storage?: "file" | "memory";
  /** How long values without a time to live of their own are kept. Default: for ever. Only in memory. */
  readonly ttl?: Duration;
  /** Default: as much as the broker allows. Beyond it, memory forgets the oldest values, and a file takes no new ones. */
  readonly maxBytes?: number;
}

/** What stands under a key of a bucket. */
export interface Entry {
  readonly key: string;
  readonly value: unknown;
  /** Of the write that put it there; rises with every write to the bucket. */
  readonly revision: number;
}

/** Options of {@link Bucket.put}. */
export interface PutOptions {
  /** Write only if this is the key's revision now; 0: only if there is nothing. Default: whatever is there. */
  readonly revision?: number;
  /** How long it is kept, to a whole second. Only in memory. */
  readonly ttl?: Duration;
}

/** Small values that the processes of a mesh share. Whatever the codec takes can be one; `undefined` stands for none. */
export interface Bucket {
  /** What stands there, as the broker knows it now. */
  get(key: string): Promise<Entry | undefined>;
  /**
   * Writes a value, or removes what is there (`undefined`), and resolves with the new revision. Rejects with `CONFLICT` when
   * another revision is there than the one expected, `NOT_CONNECTED` when nothing was written, `TIMEOUT` when that is unknown.
   */
  put(key: string, value: unknown, options?: PutOptions): Promise<number>;
  keys(): Promise<string[]>;
  /**
   * Tells what stands under one key, or all, then every change; `value` is undefined for what is gone. Values that are
   * overwritten in quick succession, or while there is no connection, may be left out; the last one is told.
   * @returns ends it
   */
  watch(listener: (entry: Entry) => void, key?: string): Promise<() => void>;
}

const OWN = new Set(["leases", "registry", "journals", "locks"]);

/** The buckets that one process uses. */
export class Buckets {
  readonly #runtime: Runtime;
  readonly #js: JetStream;
  readonly #buckets = new Map<string, StoredBucket>();

  constructor(runtime: Runtime) {
    const { link, subjects, client } = runtime;
    this.#runtime = runtime;
    this.#js = new JetStream(link, `${subjects.inbox(client)}.kv`);
  }

  open(name: string, options: BucketOptions): Bucket {
    if (OWN.has(name)) throw new MeshError("INVALID_CONTRACT", `Bucket ${name} is the mesh's own.`);
    return this.own(name, options);
  }

  /** {@link open} for one that users cannot open. */
  own(name: string, options: BucketOptions): Bucket {
    let bucket = this.#buckets.get(name);
    if (bucket === undefined) {
      bucket = new StoredBucket(this.#runtime, this.#js, name, settings(options));
      this.#buckets.set(name, bucket);
    }
    return bucket;
  }

  connectionLost(): void {
    this.#js.connectionLost();
  }

  connectionRestored(): void {
    for (const bucket of this.#buckets.values()) bucket.catchUp();
  }

  close(): void {
    this.#js.close();
  }
}

/** Somebody who watches: hears of nothing twice, and of nothing older than what was heard last. */
class Watcher {
  readonly key: string | undefined;
  readonly #listener: (entry: Entry) => void;
  readonly #heard = new Map<string, number>();

  constructor(key: string | undefined, listener: (entry: Entry) => void) {
    this.key = key;
    this.#listener = listener;
  }

  tell({ key, data, revision }: StoredEntry): void {
    if (revision <= (this.#heard.get(key) ?? 0)) return;
    this.#heard.set(key, revision);
    this.#listener({ key, value: data && decodePayload(data), revision });
  }

  /** Keys that were there and are not any more, without anybody telling. */
  gone(present: ReadonlySet<string>): void {
    for (const [key, revision] of this.#heard) {
      if (present.has(key)) continue;
      this.#heard.delete(key);
      this.#listener({ key, value: undefined, revision });
    }
  }
}

class StoredBucket implements Bucket {
  readonly #runtime: Runtime;
  readonly #store: BucketStore;
  readonly #watchers = new Set<Watcher>();

  constructor(runtime: Runtime, js: JetStream, name: string, own: BucketSettings) {
    this.#runtime = runtime;
    this.#store = new BucketStore(runtime, js, name, own);
  }

  async get(key: string): Promise<Entry | undefined> {
    const found = await this.#store.read(key);
    if (found?.data === undefined) return undefined;
    return { key, value: decodePayload(found.data), revision: found.revision };
  }

  async put(key: string, value: unknown, options: PutOptions = {}): Promise<number> {
    const { revision } = options;
    // A copy: the codec's buffer is written again by whoever encodes next, and this is not sent before the next turn.
    const data = value === undefined ? undefined : encodePayload(value).slice();
    const ttlMs = options.ttl === undefined ? undefined : toMs(options.ttl);
    try {
      return await this.#store.write(key, data, revision, ttlMs);
    } catch (error) {
      if (revision !== 0 || !isMeshError(error, "CONFLICT")) throw error;
      const found = await this.#store.read(key); // "nothing" may be the mark of a removal
      if (found === undefined || found.data !== undefined) throw error;
      return this.#store.write(key, data, found.revision, ttlMs);
    }
  }

  async keys(): Promise<string[]> {
    const found = await Promise.all(
      (await this.#store.keys()).map(async (key) => ((await this.get(key)) ? [key] : [])),
    );
    return found.flat();
  }

  async watch(listener: (entry: Entry) => void, key?: string): Promise<() => void> {
    const watcher = new Watcher(key, listener);
    const stop = this.#store.follow(key, (entry) => watcher.tell(entry));
    const end = (): void => {
      this.#watchers.delete(watcher);
      stop();
    };
    try {
      if (!(await this.#runtime.link.settle())) {
        throw new MeshError("NOT_CONNECTED", "The broker does not answer.");
      }
      await this.#tellAll(watcher);
    } catch (error) {
      end();
      throw error;
    }
    this.#watchers.add(watcher);
    return end;
  }

  /** The connection is back: tells every watcher what it has missed. */
  catchUp(): void {
    for (const watcher of this.#watchers) void this.#catchUp(watcher);
  }

  /** Until it has succeeded, or the connection is lost once more: nobody else tells what was missed. */
  async #catchUp(watcher: Watcher): Promise<void> {
    const { link, log } = this.#runtime;
    const tell = async (): Promise<void> => {
      try {
        await this.#tellAll(watcher);
      } catch (error) {
        log.warn({ err: error }, "a bucket could not be read again");
        throw error;
      }
    };
    await surely(this.#runtime, tell, {
      closed: () => !link.connected || !this.#watchers.has(watcher),
      reopen: () => Promise.resolve(),
    }).catch(() => undefined); // each failure has been told
  }

  async #tellAll(watcher: Watcher): Promise<void> {
    const keys = watcher.key === undefined ? await this.#store.keys() : [watcher.key];
    const entries = await Promise.all(keys.map((key) => this.#store.read(key)));
    const found = entries.filter((entry) => entry !== undefined);
    for (const entry of found) watcher.tell(entry);
    watcher.gone(new Set(found.map(({ key }) => key)));
  }
}

function settings({ storage = "file", ttl, maxBytes }: BucketOptions): BucketSettings {
  if (storage === "file" && ttl !== undefined) {
    throw new MeshError("INVALID_CONTRACT", "Only a bucket in memory can have a ttl.");
  }
  return {
    storage,
    ...(ttl === undefined ? {} : { ttlMs: toMs(ttl) }),
    ...(maxBytes === undefined ? {} : { maxBytes }),
  };
}
