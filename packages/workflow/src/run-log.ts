import {
  MAX_PART_BYTES,
  MeshError,
  isMeshError,
  type OwnedThread,
  type StoredThread,
  type ThreadState,
} from "@plexus/core";
import type { RunEvent, ThreadEvent } from "./event.ts";
import { encodeEvent } from "./record.ts";

/**
 * When events are stored. `sync`: before anything follows from them. `async`: while the run goes on; who dies then repeats
 * what was not stored yet. `exit`: when the run comes to rest.
 */
export type DurabilityMode = "sync" | "async" | "exit";

const MIN_SNAPSHOT_BYTES = 128 * 1024;
/** A run that is further ahead of its checkpointer waits for it. */
const MAX_AHEAD_BYTES = 8 * 1024 * 1024;

/** Writes a run's events to the thread it owns: one write at a time, and what comes meanwhile is the next one. */
export class RunLog {
  readonly #thread: OwnedThread;
  readonly #mode: DurabilityMode;
  readonly #now: () => number;
  readonly #maxPartBytes: number;
  #waiting: Uint8Array[] = [];
  #ahead = 0;
  #writing: Promise<void> | undefined;
  #snapshotting: Promise<void> | undefined;
  /** Position of the last record, once it is written. */
  #position: number;
  /** Bytes of records since the last snapshot, and of that; since one could not be made, at which to try again. */
  #since = 0;
  #last = 0;
  #failure: { readonly error: unknown } | undefined;
  readonly #preface: Uint8Array[];
  #stateOf: () => ThreadState = () => "busy";

  /**
   * `preface`: what has to be recorded before anything else is, if anything else is. `stored`: what was read of the thread.
   * `maxPartBytes`: the checkpointer's.
   */
  constructor(
    thread: OwnedThread,
    options: {
      readonly mode: DurabilityMode;
      readonly now: () => number;
      readonly preface: ThreadEvent | undefined;
      readonly stored: StoredThread;
      readonly maxPartBytes?: number | undefined;
    },
  ) {
    const { mode, now, preface, stored, maxPartBytes = MAX_PART_BYTES } = options;
    this.#thread = thread;
    this.#mode = mode;
    this.#now = now;
    this.#maxPartBytes = maxPartBytes;
    this.#position = thread.position;
    this.#preface = preface ? encodeEvent(preface, now(), maxPartBytes) : [];
    this.#since = sizeOf(stored.records.map(({ bytes }) => bytes));
    this.#last = sizeOf(stored.snapshot?.parts ?? []);
  }

  /** An event as records. Throws `UNENCODABLE`. */
  encode(event: RunEvent): Uint8Array[] {
    return encodeEvent(event, this.#now(), this.#maxPartBytes);
  }

  /** How the thread stands behind all that was added. */
  follow(stateOf: () => ThreadState): void {
    this.#stateOf = stateOf;
  }

  add(records: readonly Uint8Array[]): void {
    const all = this.#preface.length > 0 ? [...this.#preface.splice(0), ...records] : records;
    for (const record of all) {
      this.#waiting.push(record);
      this.#ahead += record.length;
      this.#since += record.length;
    }
    this.#position += all.length;
    if (this.#mode !== "exit") this.#write();
  }

  /** Whether the run must wait for {@link stored} before it goes on. */
  get mustWait(): boolean {
    return this.#mode === "sync" || (this.#mode === "async" && this.#ahead > MAX_AHEAD_BYTES);
  }

  /** Whether something was added that is not stored yet. */
  get isBehind(): boolean {
    return this.#failure === undefined && this.#thread.position < this.#position;
  }

  /** Resolves when all that was added is stored. Rejects with what kept it from being, `FENCED` above all. */
  async stored(): Promise<void> {
    const target = this.#position;
    do {
      this.#write();
      // Writes follow each other.
      await this.#writing;
      this.#check();
    } while (this.#thread.position < target);
    await this.#snapshotting;
    this.#check();
  }

  #check(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  /**
   * Stores a snapshot of the state after all that was added, if the records since the last one have come to more than it: so
   * snapshots never cost more than records do, and whoever reads a thread reads at most twice what its state takes. Without one
   * that cannot be made or stored, the run goes on: the records are what counts.
   * @param snapshot makes it, in parts of the bytes it is given
   */
  snapshotIfDue(snapshot: (maxPartBytes: number) => Uint8Array[]): void {
    if (this.#snapshotting !== undefined) return;
    if (this.#since < Math.max(MIN_SNAPSHOT_BYTES, this.#last)) return;
    const position = this.#position;
    let parts: Uint8Array[];
    try {
      parts = snapshot(this.#maxPartBytes);
    } catch {
      this.#postpone();
      return;
    }
    this.#since = 0;
    this.#last = sizeOf(parts);
    this.#snapshotting = this.#snapshot(position, parts);
  }

  /** Drops what is not being written yet. Resolves when nothing is being written any more, or what is cannot count. */
  async close(): Promise<void> {
    this.#failure ??= { error: new MeshError("CANCELED", "The run is not recorded any more.") };
    this.#waiting = [];
    if (this.#thread.signal.aborted) return; // another owner's fence is before it
    await this.#writing;
    await this.#snapshotting;
  }

  /** No snapshot for now: the next one is tried when twice as much has been recorded as this time. */
  #postpone(): void {
    this.#last = 2 * Math.max(MIN_SNAPSHOT_BYTES, this.#last);
    this.#since = 0;
  }

  async #snapshot(position: number, parts: readonly Uint8Array[]): Promise<void> {
    try {
      while (this.#thread.position < position && this.#failure === undefined) {
        this.#write();
        // Writes follow each other.
        await this.#writing;
      }
      if (this.#failure === undefined) await this.#thread.snapshot(position, parts);
    } catch (error) {
      if (isMeshError(error, "FENCED")) this.#failure ??= { error };
      else this.#postpone();
    } finally {
      this.#snapshotting = undefined;
    }
  }

  #write(): void {
    if (this.#writing !== undefined || this.#waiting.length === 0) return;
    if (this.#failure !== undefined) return;
    const batch = this.#waiting;
    this.#waiting = [];
    this.#writing = this.#append(batch, this.#stateOf());
  }

  async #append(batch: readonly Uint8Array[], state: ThreadState): Promise<void> {
    try {
      await this.#thread.append(batch, state);
      this.#ahead -= sizeOf(batch);
    } catch (error) {
      this.#failure ??= { error };
    }
    this.#writing = undefined;
    if (this.#mode !== "exit") this.#write();
  }
}

function sizeOf(parts: readonly Uint8Array[]): number {
  return parts.reduce((sum, { length }) => sum + length, 0);
}
