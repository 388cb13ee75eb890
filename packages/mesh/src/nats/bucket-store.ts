import { DiscardPolicy, RetentionPolicy, StorageType } from "@nats-io/jetstream";
import { MeshError, escapeKey, unescapeKey } from "@plexus/core";
import type { Runtime } from "../runtime.ts";
import type { JetStream } from "./jetstream.ts";
import { Lasting } from "./lasting.ts";
import { Leaderless } from "./leaderless.ts";
import type { Link } from "./link.ts";
import { Streams } from "./streams.ts";

/** How a bucket keeps what is in it; the first process to use it decides. */
export interface BucketSettings {
  readonly storage: "file" | "memory";
  /** How long anything is kept that has no time to live of its own. Only in memory. */
  readonly ttlMs?: number;
  /** What it may hold; beyond it, a bucket in memory forgets the oldest. */
  readonly maxBytes?: number;
}

/** What stands under a key; `data` is undefined for what was removed. */
export interface StoredEntry {
  readonly key: string;
  readonly data: Uint8Array | undefined;
  /** The stream sequence of the write. */
  readonly revision: number;
}

const API_TIMEOUT_MS = 5_000;
const NS_PER_MS = 1_000_000;
const MARKER_TTL = "60s"; // how long a removal is remembered in memory
const OPERATION = "KV-Operation"; // as in other clients' buckets: DEL, PURGE

/**
 * One bucket of the mesh: a stream with one message per key, which the broker also publishes, whenever it has accepted one, on
 * an ordinary subject. Reads ask the stream's leader.
 */
export class BucketStore {
  readonly #js: JetStream;
  readonly #link: Link;
  readonly #stored: Lasting;
  readonly #streams: Streams;
  readonly #bucket: string;
  /** Prefix of the subjects on which the broker tells of writes. */
  readonly #told: string;
  readonly #settings: BucketSettings;

  constructor({ link, subjects, log }: Runtime, js: JetStream, name: string, own: BucketSettings) {
    const { mesh } = subjects;
    this.#js = js;
    this.#link = link;
    this.#streams = new Streams(link, API_TIMEOUT_MS);
    this.#told = subjects.bucket(name, "");
    this.#bucket = `${mesh}-${name}`;
    this.#settings = own;
    const make = (): Promise<void> => this.#make();
    const leaderless = new Leaderless(link, mesh, this.#stream, make, log);
    const inMemory = own.storage === "memory";
    this.#stored = new Lasting(link, make, inMemory ? () => leaderless.suspect() : undefined);
  }

  async read(key: string): Promise<StoredEntry | undefined> {
    const found = await this.#stored.asking(() => this.#js.last(this.#stream, this.#subject(key)));
    if (found === undefined) return undefined;
    const removed = found.header(OPERATION) !== undefined;
    return { key, data: removed ? undefined : found.data, revision: found.sequence };
  }

  /**
   * Writes, or removes (no `data`), and resolves with the new revision. Rejects with `CONFLICT` when `revision` is not what
   * stands there, `TIMEOUT` when it may or may not be written.
   */
  write(
    key: string,
    data: Uint8Array | undefined,
    revision: number | undefined,
    ttlMs: number | undefined,
  ): Promise<number> {
    const headers: Record<string, string> = {};
    if (data === undefined) headers[OPERATION] = "DEL";
    if (ttlMs !== undefined) headers["Nats-TTL"] = `${Math.max(1, Math.ceil(ttlMs / 1_000))}s`;
    else if (data === undefined && this.#settings.storage === "memory")
      headers["Nats-TTL"] = MARKER_TTL;
    return this.#stored.asking(() =>
      this.#js.publish(this.#subject(key), data ?? new Uint8Array(0), {
        headers,
        ...(revision === undefined ? {} : { expect: { sequence: revision } }),
      }),
    );
  }

  /** The keys that have ever been written and are still remembered, removed ones included. */
  async keys(): Promise<string[]> {
    const prefix = this.#subject("");
    const info = await this.#stored.asking(() => this.#streams.info(this.#stream, `${prefix}>`));
    return Object.keys(info?.state.subjects ?? {}).flatMap(
      (subject) => unescapeKey(subject.slice(prefix.length)) ?? [],
    );
  }

  /** Tells every write of one key, or of all, from now on; what is missed while there is no connection stays missed. */
  follow(key: string | undefined, listener: (entry: StoredEntry) => void): () => void {
    const prefix = this.#told;
    const subject = key === undefined ? `${prefix}*` : `${prefix}${escapeKey(key)}`;
    const subscription = this.#link.subscribe(subject, (data, from, _reply, headers) => {
      const revision = Number(headers?.get("Nats-Sequence"));
      const own = unescapeKey(from.slice(prefix.length));
      if (!(revision > 0) || own === undefined) return;
      const removed = headers!.get(OPERATION) !== "";
      listener({ key: own, data: removed ? undefined : data, revision });
    });
    return () => subscription.unsubscribe();
  }

  async #make(): Promise<void> {
    this.#streams.demandJetStream();
    const { storage, ttlMs, maxBytes } = this.#settings;
    const inMemory = storage === "memory";
    const own = `$KV.${this.#bucket}.>`;
    await this.#streams.make({
      name: this.#stream,
      description: "Plexus: small values that processes share",
      subjects: [own],
      retention: RetentionPolicy.Limits,
      storage: inMemory ? StorageType.Memory : StorageType.File,
      max_msgs_per_subject: 1,
      max_bytes: maxBytes ?? -1,
      discard: inMemory ? DiscardPolicy.Old : DiscardPolicy.New,
      allow_direct: false, // a replica may be behind
      // Revisions rise even when the broker has lost the bucket, and somebody makes it again.
      first_seq: Date.now(),
      republish: { src: own, dest: `${this.#told}>` },
      ...(inMemory
        ? { max_age: (ttlMs ?? 0) * NS_PER_MS, allow_msg_ttl: true }
        : // Removals that meet a write, and times to live, can stop all writes to a file on nats-server 2.14.0 to 2.14.4.
          { deny_delete: true, deny_purge: true }),
    });
  }

  get #stream(): string {
    return `KV_${this.#bucket}`;
  }

  #subject(key: string): string {
    if (key === "") return `$KV.${this.#bucket}.`;
    const escaped = escapeKey(key);
    if (unescapeKey(escaped) === key) return `$KV.${this.#bucket}.${escaped}`;
    throw new MeshError(
      "INVALID_INPUT",
      `A key of ${key.length} characters is too long for a bucket.`,
    );
  }
}
