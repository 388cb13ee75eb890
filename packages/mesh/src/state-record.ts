import { MeshError, decodePayload, encodePayload } from "@plexus/core";

/** The last write of somebody to a key, before the one that stands there. */
export interface PastWrite {
  readonly by: string;
  readonly op: number;
  readonly revision: number;
}

/**
 * What stands under a key of a shared state. Whoever writes carries over who has written before, so that a writer who was
 * not answered finds out whether its write counted, whatever has been written since.
 */
export interface StateRecord {
  readonly key: string;
  /** Undefined: there is nothing, the value was removed. */
  readonly value: unknown;
  /** The connection that wrote it: its `mesh.client`. */
  readonly by: string;
  /** Number of the write among all of that connection. */
  readonly op: number;
  /** The highest fencing token that any write to the key has carried; 0: none has. */
  readonly fence: number;
  /** How long it is kept, in ms; 0: for ever. */
  readonly ttlMs: number;
  /** The last writes of others, newest first. */
  readonly past: readonly PastWrite[];
}

/** A record and the sequence of the write that put it there. */
export interface StoredState {
  readonly record: StateRecord;
  readonly revision: number;
  /** When, by the broker's clock: milliseconds since the epoch. */
  readonly storedAt: number;
}

/** Whether a write of unknown fate counted: its revision, or `false`; `unknown` if too many others have written since. */
export type Fate = number | false | "unknown";

const VERSION = 1;
const MAX_PAST = 32; // writers, not writes: some 25 bytes each

/** What whoever writes on top of `base` has to carry over. */
export function carriedOver(base: StoredState | undefined, by: string): PastWrite[] {
  if (base === undefined) return [];
  const { record, revision } = base;
  const writes = [{ by: record.by, op: record.op, revision }, ...record.past];
  return writes.filter((write) => write.by !== by).slice(0, MAX_PAST);
}

/** What became of the write `op` of `by`, as what stands there later tells. */
export function fateOf({ record, revision }: StoredState, by: string, op: number): Fate {
  if (record.by === by) return record.op === op && revision;
  const own = record.past.find((write) => write.by === by);
  if (own !== undefined) return own.op === op && own.revision;
  return record.past.length === MAX_PAST ? "unknown" : false;
}

export function encodeState({ key, value, by, op, fence, ttlMs, past }: StateRecord): Uint8Array {
  const kept = value === undefined ? [] : [value];
  const writes = past.map((write) => [write.by, write.op, write.revision]);
  // A copy: the codec's buffer is written again by whoever encodes next.
  return encodePayload([VERSION, key, kept, by, op, fence, ttlMs, writes]).slice();
}

/** Throws `BAD_MESSAGE` if that is none. */
export function decodeState(data: Uint8Array): StateRecord {
  const fields = decodePayload(data);
  if (!Array.isArray(fields) || fields[0] !== VERSION) {
    throw new MeshError("BAD_MESSAGE", "This is no record of a shared state.");
  }
  const [, key, kept, by, op, fence, ttlMs, writes] = fields as [
    number,
    string,
    unknown[],
    string,
    number,
    number,
    number,
    [string, number, number][],
  ];
  const past = writes.map(([who, what, revision]) => ({ by: who, op: what, revision }));
  return { key, value: kept[0], by, op, fence, ttlMs, past };
}
