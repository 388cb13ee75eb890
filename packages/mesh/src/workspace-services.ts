import { nowMs } from "./clock.ts";
import { BlobStore, type BlobName } from "./nats/blob-store.ts";
import { JetStream } from "./nats/jetstream.ts";
import type { Runtime } from "./runtime.ts";
import { Patience, type PatienceOptions } from "./patience.ts";
import { surely } from "./surely.ts";

const TIMEOUT_MS = 30_000;
const MAX_CACHED = 32 * 1024 * 1024; // bytes
const OVERHEAD = 256; // of an entry of the cache

/** What using and hosting workspaces share: contents, and the journal to read. */
export class WorkspaceServices {
  readonly runtime: Runtime;
  readonly js: JetStream;
  readonly #blobs: BlobStore;
  /** Contents used last, the longest unused first. */
  readonly #cache = new Map<string, Uint8Array>();
  readonly #ends = new Set<() => void>();
  #cached = 0;
  #closed = false;

  constructor(runtime: Runtime) {
    const { link, subjects, client } = runtime;
    this.runtime = runtime;
    this.js = new JetStream(link, `${subjects.inbox(client)}.wsjs`);
    this.#blobs = new BlobStore(this.js, link, subjects);
  }

  /** The stream in which commits are recorded. */
  get journal(): string {
    return `${this.runtime.subjects.mesh}-journal`;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Stores a content. Rejects with `MESSAGE_TOO_LARGE`, or with what the broker refuses it for, `OVERLOADED` above all. */
  async put(content: Uint8Array, options: PatienceOptions = {}): Promise<BlobName> {
    using patience = new Patience("A content", options);
    const stored = this.surely(() => this.#blobs.put(content), patience.untilMs);
    const name = await patience.for(stored);
    this.#remember(name.hash, content);
    return name;
  }

  /** A content. Not to be changed: others are given the same bytes. */
  async get(name: BlobName): Promise<Uint8Array> {
    const known = this.#cache.get(name.hash);
    if (known !== undefined) {
      this.#cache.delete(name.hash);
      this.#cache.set(name.hash, known);
      return known;
    }
    const content = await this.surely(() => this.#blobs.get(name));
    this.#remember(name.hash, content);
    return content;
  }

  /** Repeats a request until the broker has answered it, for 30 s or until a monotonic time, through disconnections. */
  surely<T>(request: () => Promise<T>, untilMs = nowMs() + TIMEOUT_MS): Promise<T> {
    return surely(this.runtime, request, {
      untilMs,
      closed: () => this.#closed,
      reopen: () => {
        this.#blobs.forget();
        return this.#blobs.open();
      },
    });
  }

  /** Calls `end` when this connection closes; returns the function that forgets it. */
  onClose(end: () => void): () => void {
    this.#ends.add(end);
    return () => this.#ends.delete(end);
  }

  close(): void {
    this.#closed = true;
    for (const end of this.#ends) end();
    this.js.close();
  }

  #remember(hash: string, content: Uint8Array): void {
    if (content.length > MAX_CACHED / 4 || this.#cache.has(hash)) return;
    this.#cache.set(hash, content);
    this.#cached += content.length + OVERHEAD;
    for (const [oldest, { length }] of this.#cache) {
      if (this.#cached <= MAX_CACHED) return;
      this.#cache.delete(oldest);
      this.#cached -= length + OVERHEAD;
    }
  }
}
