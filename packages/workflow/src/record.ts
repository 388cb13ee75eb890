import {
  MeshError,
  decodePayload,
  encodePayload,
  MAX_PART_BYTES,
  type StoredRecord,
} from "@plexus/core";
import type { ThreadEvent } from "./event.ts";
import type { RunState } from "./run.ts";
import type { Skeleton } from "./skeleton.ts";

const VERSION = 1;
const LAST = 0;
const MORE = 1;

/** An event as it is recorded. */
export interface Recorded {
  /** Position of the last record it is in. */
  readonly position: number;
  /** When, in ms since the epoch, by the clock of whoever recorded it. */
  readonly at: number;
  readonly event: ThreadEvent;
}

/**
 * An event as records of bounded size. Throws `UNENCODABLE`, naming the path, for what cannot be stored.
 * @param maxBytes of a record
 */
export function encodeEvent(
  event: ThreadEvent,
  at: number,
  maxBytes: number = MAX_PART_BYTES,
): Uint8Array[] {
  const bytes = encodePayload([VERSION, at, event]);
  const records: Uint8Array[] = [];
  const room = maxBytes - 1;
  for (let from = 0; from < bytes.length; from += room) {
    const part = bytes.subarray(from, from + room);
    const record = new Uint8Array(part.length + 1);
    record[0] = from + room < bytes.length ? MORE : LAST;
    record.set(part, 1);
    records.push(record);
  }
  return records;
}

/** The events in records, in order. Throws `BAD_MESSAGE` for what this version cannot read. */
export function* decodeEvents(records: Iterable<StoredRecord>): Generator<Recorded> {
  let parts: Uint8Array[] = [];
  for (const { position, bytes } of records) {
    parts.push(bytes.subarray(1));
    if (bytes[0] !== LAST) continue;
    const whole = parts.length === 1 ? parts[0]! : Buffer.concat(parts);
    parts = [];
    const [version, at, event] = decodePayload(whole) as [number, number, ThreadEvent];
    if (version !== VERSION) throw unreadable(version);
    yield { position, at, event };
  }
}

/** A thread as a snapshot holds it. */
export interface Snapshot {
  readonly at: number;
  readonly graph: Skeleton;
  readonly run: RunState;
}

/**
 * A state as a snapshot's parts. Throws `UNENCODABLE`.
 * @param maxBytes of a part
 */
export function encodeSnapshot(
  { at, graph, run }: Snapshot,
  maxBytes: number = MAX_PART_BYTES,
): Uint8Array[] {
  const bytes = encodePayload([VERSION, at, graph, run]);
  const parts: Uint8Array[] = [];
  for (let from = 0; from < bytes.length; from += maxBytes) {
    parts.push(bytes.slice(from, from + maxBytes));
  }
  return parts;
}

/** The state in a snapshot. Throws `BAD_MESSAGE` for one that this version cannot read. */
export function decodeSnapshot(parts: readonly Uint8Array[]): Snapshot {
  type Tuple = [number, number, Skeleton, RunState];
  const [version, at, graph, run] = decodePayload(Buffer.concat(parts)) as Tuple;
  if (version !== VERSION) throw unreadable(version);
  return { at, graph, run };
}

function unreadable(version: unknown): MeshError {
  return new MeshError("BAD_MESSAGE", `A checkpoint of format ${String(version)} cannot be read.`);
}
