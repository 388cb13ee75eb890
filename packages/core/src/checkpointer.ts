/**
 * Where the runs of graphs are kept. Each thread is a log of small records with one owner at a time, and snapshots from which reading may begin.
 * The engine decides what is in them; a checkpointer keeps order, bounds and ownership. `test/support/checkpointer-suite.ts` says what it must do.
 */
export interface Checkpointer {
  /**
   * Makes the caller the thread's owner, by a fenced lease: whoever owned it before can write nothing more. Rejects with `CONFLICT` while
   * another owner is alive.
   */
  own(thread: string, options?: { readonly signal?: AbortSignal }): Promise<OwnedThread>;
  /** What is stored of a thread; nothing at all for an unknown one. */
  read(thread: string, range?: ReadRange): Promise<StoredThread>;
  /** Names of all threads. */
  list(): AsyncIterable<string>;
  /** True if somebody goes on with a thread that is left asleep when its time has come. */
  readonly wakes?: boolean;
  /** The most bytes in a record, or in a part of a snapshot, that it takes now. Default: {@link MAX_PART_BYTES}. */
  readonly maxPartBytes?: number;
}

/** Which part of a thread is wanted. */
export interface ReadRange {
  /** Nothing behind this position. Default: everything. */
  readonly upTo?: number;
  /** From the very first record, not from a snapshot. Default false. */
  readonly whole?: boolean;
}

/** What is stored of a thread. */
export interface StoredThread {
  /** The newest in range; with `whole`, only one that no record comes before (a fork's). */
  readonly snapshot: StoredSnapshot | undefined;
  /** Records behind the snapshot, in order. */
  readonly records: readonly StoredRecord[];
}

export interface StoredSnapshot {
  /** The record whose state it is; 0: before the first. */
  readonly position: number;
  readonly parts: readonly Uint8Array[];
}

export interface StoredRecord {
  /** Rises by one with every record. */
  readonly position: number;
  readonly bytes: Uint8Array;
}

/**
 * How a thread stands. `busy`: its owner executes it, and whoever owns it next goes on. `waiting`: nothing happens before somebody has
 * something for it. `over`, `failed`, `canceled`: nothing is under way. `until`: it is asleep, until a time in ms since the epoch.
 */
export type ThreadState =
  | "busy"
  | "waiting"
  | "over"
  | "failed"
  | "canceled"
  | { readonly until: number };

/** A thread as its owner sees it. Disposing gives it back, when what is being written has been. */
export interface OwnedThread extends AsyncDisposable {
  /** Fires when the ownership is lost. */
  readonly signal: AbortSignal;
  /** Position of the last record. */
  readonly position: number;
  /**
   * Stores records of at most `maxPartBytes` each behind the last one, all or none. Resolves when they are safe. Rejects with `FENCED` when
   * the thread has another owner, whose records are the ones that count, or has been given back. `state`: how the thread stands behind them.
   */
  append(records: readonly Uint8Array[], state?: ThreadState): Promise<void>;
  /** Stores the state after the record at `position`, in parts of at most `maxPartBytes`. Rejects with `FENCED`, too. */
  snapshot(position: number, parts: readonly Uint8Array[]): Promise<void>;
}

/** The most bytes in a record, or in a part of a snapshot: what a broker takes by default. */
export const MAX_PART_BYTES = 512 * 1024;
