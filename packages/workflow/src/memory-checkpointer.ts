import {
  MeshError,
  type Checkpointer,
  type OwnedThread,
  type ReadRange,
  type StoredRecord,
  type StoredSnapshot,
  type StoredThread,
} from "@plexus/core";

interface Stored {
  readonly records: StoredRecord[];
  readonly snapshots: StoredSnapshot[];
  owner: Owner | undefined;
}

/** Keeps runs in this process's memory: for tests, and for graphs that interrupt but need not survive the process. */
export class MemoryCheckpointer implements Checkpointer {
  readonly #threads = new Map<string, Stored>();

  async own(thread: string, options: { signal?: AbortSignal } = {}): Promise<OwnedThread> {
    options.signal?.throwIfAborted();
    let stored = this.#threads.get(thread);
    if (stored === undefined) {
      this.#threads.set(thread, (stored = { records: [], snapshots: [], owner: undefined }));
    }
    if (stored.owner !== undefined) {
      throw new MeshError("CONFLICT", `Thread ${thread} is being executed already.`);
    }
    return new Owner(thread, stored);
  }

  async read(thread: string, range: ReadRange = {}): Promise<StoredThread> {
    const { upTo = Infinity, whole = false } = range;
    const { records = [], snapshots = [] } = this.#threads.get(thread) ?? {};
    const snapshot = snapshots.findLast(
      ({ position }) => position <= upTo && (!whole || position === 0),
    );
    const from = snapshot?.position ?? 0;
    return {
      snapshot,
      records: records.filter(({ position }) => position > from && position <= upTo),
    };
  }

  async *list(): AsyncIterable<string> {
    for (const [thread, { records, snapshots }] of this.#threads) {
      if (records.length + snapshots.length > 0) yield thread;
    }
  }

  /** Takes the thread from its owner, as if the owner had died and its lease had expired. */
  revoke(thread: string): void {
    this.#threads.get(thread)?.owner?.lose();
  }

  /** Bytes stored of a thread. */
  size(thread: string): { readonly records: number; readonly snapshots: number } {
    const { records = [], snapshots = [] } = this.#threads.get(thread) ?? {};
    return {
      records: records.reduce((sum, { bytes }) => sum + bytes.length, 0),
      snapshots: snapshots
        .flatMap(({ parts }) => parts)
        .reduce((sum, part) => sum + part.length, 0),
    };
  }
}

class Owner implements OwnedThread {
  readonly #thread: string;
  readonly #stored: Stored;
  readonly #lost = new AbortController();

  constructor(thread: string, stored: Stored) {
    this.#thread = thread;
    this.#stored = stored;
    stored.owner = this;
  }

  get signal(): AbortSignal {
    return this.#lost.signal;
  }

  get position(): number {
    return this.#stored.records.length;
  }

  async append(records: readonly Uint8Array[]): Promise<void> {
    this.#check();
    const { records: all } = this.#stored;
    for (const bytes of records) all.push({ position: all.length + 1, bytes });
  }

  async snapshot(position: number, parts: readonly Uint8Array[]): Promise<void> {
    this.#check();
    this.#stored.snapshots.push({ position, parts });
  }

  lose(): void {
    this.#stored.owner = undefined;
    this.#lost.abort(this.#fenced());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#stored.owner === this) this.#stored.owner = undefined;
  }

  #check(): void {
    if (this.#stored.owner !== this) throw this.#fenced();
  }

  #fenced(): MeshError {
    return new MeshError("FENCED", `Thread ${this.#thread} has another owner.`);
  }
}
