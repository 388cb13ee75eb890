import { MeshError, type OwnedThread, type ThreadState } from "@plexus/core";
import type { StoredMessage } from "./nats/stored-message.ts";
import { lastComplete, writeParts } from "./parted-record.ts";
import type { PartitionLog } from "./partition-log.ts";
import {
  encodeThreadMessage,
  groupRecords,
  maxPartBytes,
  positionOf,
  readThreadMessage,
  recordsPlace,
  snapshotsPlace,
} from "./thread-record.ts";
import type { SnapshotMeta } from "./thread-reading.ts";

/** The last messages of a thread: of its records, and of its snapshots. */
export type LastMessages = readonly [StoredMessage | undefined, StoredMessage | undefined];

/** What a thread that is owned needs of its partition. */
export interface WriterHome {
  readonly journal: PartitionLog;
  /** A message of the thread has been stored, after which it stands so. */
  noted(thread: string, state: ThreadState, sequence: number, bytes: number): void;
  /** A write was refused as the partition is somebody else's. */
  lost(error: unknown): void;
  returned(writer: ThreadWriter): void;
}

/** A thread that this process executes. */
export class ThreadWriter implements OwnedThread {
  readonly thread: string;
  readonly #home: WriterHome;
  readonly #lost = new AbortController();
  /** The last messages of the thread, as long as it has written none: of its records, and of its snapshots. */
  last: LastMessages | undefined;
  #position: number;
  /** Of the last message of its records. */
  #sequence: number;
  #snapshot: number;
  /** Which message ends where, since the last snapshot. */
  #marks: { readonly end: number; readonly sequence: number }[];
  /** Settles when what has been begun is stored, or has failed. */
  #writing: Promise<unknown> = Promise.resolve();
  #returned: Promise<void> | undefined;

  constructor(home: WriterHome, thread: string, last: LastMessages) {
    const [record, snapshot] = last;
    this.last = last;
    this.#home = home;
    this.thread = thread;
    this.#position = positionOf(record && readThreadMessage(record));
    this.#snapshot = lastComplete(snapshot);
    this.#sequence = record?.sequence ?? 0;
    this.#marks = [{ end: this.#position, sequence: this.#sequence }];
  }

  get signal(): AbortSignal {
    return this.#lost.signal;
  }

  get position(): number {
    return this.#position;
  }

  /** Resolves when it has been given back, if it is being. */
  get returned(): Promise<void> | undefined {
    return this.#returned;
  }

  append(records: readonly Uint8Array[], state: ThreadState = "busy"): Promise<void> {
    return this.#begin(() => this.#append(records, state));
  }

  snapshot(position: number, parts: readonly Uint8Array[]): Promise<void> {
    return this.#begin(() => this.#snapshotAt(position, parts));
  }

  /** It is another process's. */
  lose(reason: MeshError): void {
    this.#lost.abort(reason);
  }

  /**
   * What is being written is stored first: whoever owns the thread next begins behind it. When the partition is another process's,
   * the fence sees to that.
   */
  [Symbol.asyncDispose](): Promise<void> {
    const written = this.signal.aborted ? Promise.resolve() : this.#writing;
    return (this.#returned ??= written.then(() => this.#home.returned(this)));
  }

  async #begin(write: () => Promise<void>): Promise<void> {
    if (this.signal.aborted) throw this.signal.reason;
    if (this.#returned !== undefined) {
      throw new MeshError("FENCED", `Thread ${this.thread} has been given back.`);
    }
    const written = write();
    this.#writing = Promise.allSettled([this.#writing, written]);
    await written;
  }

  async #append(records: readonly Uint8Array[], state: ThreadState): Promise<void> {
    if (records.length === 0) return;
    const { journal } = this.#home;
    const { maxPayload } = journal;
    const { thread } = this;
    const base = this.#position;
    const groups = groupRecords(records, maxPayload);
    let bytes = 0;
    for (const [index, group] of groups.entries()) {
      const end = index === groups.length - 1 ? base + records.length : 0;
      const previous = this.#sequence;
      const said = { thread, base, index, end, state, records: group, previous };
      const message = encodeThreadMessage(said);
      this.#sequence = await this.#write(() => journal.write(recordsPlace(thread), message));
      bytes += message.length;
    }
    this.#position += records.length;
    this.#marks.push({ end: this.#position, sequence: this.#sequence });
    this.#home.noted(thread, state, this.#sequence, bytes);
  }

  async #snapshotAt(position: number, parts: readonly Uint8Array[]): Promise<void> {
    const most = maxPartBytes(this.#home.journal.maxPayload);
    if (parts.some(({ length }) => length > most)) {
      throw new MeshError("MESSAGE_TOO_LARGE", `A part of a snapshot has more than ${most} bytes.`);
    }
    const mark = this.#marks.findLastIndex(({ end }) => end <= position);
    const meta: SnapshotMeta = [position, this.#marks[mark]?.sequence ?? 0];
    const place = snapshotsPlace(this.thread);
    this.#snapshot = await this.#write(() =>
      writeParts(this.#home.journal, place, this.#snapshot, meta, parts),
    );
    this.#marks = this.#marks.slice(Math.max(0, mark));
  }

  async #write<T>(write: () => Promise<T>): Promise<T> {
    if (this.signal.aborted) throw this.signal.reason;
    this.last = undefined;
    try {
      return await write();
    } catch (error) {
      this.#home.lost(error);
      throw error;
    }
  }
}
