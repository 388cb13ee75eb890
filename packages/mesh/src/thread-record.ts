import {
  MAX_PART_BYTES,
  MeshError,
  decodePayload,
  encodePayload,
  escapeKey,
  type StoredRecord,
  type ThreadState,
} from "@plexus/core";
import type { StoredMessage } from "./nats/stored-message.ts";

/** Records of a thread in one message. What does not fit into one comes in several, which count when the last of them is stored. */
export interface ThreadMessage {
  readonly thread: string;
  /** Position of the record before the first of these messages. */
  readonly base: number;
  /** Which of these messages it is. */
  readonly index: number;
  /** Position of the last record in the last one; 0 in the others. */
  readonly end: number;
  readonly state: ThreadState;
  readonly records: readonly Uint8Array[];
  /** Sequence of the thread's message before this one, 0 for its first; undefined: it does not say. */
  readonly previous?: number | undefined;
}

const VERSION = 1;
const STATES = ["over", "waiting", "busy", "failed", "canceled"] as const;
/** Of records in one message: two of the largest do not fit into what a broker takes by default. */
const MAX_BYTES = 768 * 1024;
/** What a message takes besides records or a part: the thread's name, positions, headers. */
const ENVELOPE_BYTES = 4 * 1024;
const MIN_PART_BYTES = 512;
/** Of a record, for its length. */
const LENGTH_BYTES = 5;

/** The most bytes in a record, in a part of a snapshot or of the table, for a broker that takes messages of so many. */
export function maxPartBytes(maxPayload: number): number {
  return Math.min(MAX_PART_BYTES, roomIn(maxPayload) - LENGTH_BYTES);
}

function roomIn(maxPayload: number): number {
  return Math.max(MIN_PART_BYTES, maxPayload - ENVELOPE_BYTES);
}

/** Where the records of a thread are, within its partition. */
export function recordsPlace(thread: string): string {
  return escapeKey(thread);
}

/** Where its snapshots are. */
export function snapshotsPlace(thread: string): string {
  return `${escapeKey(thread)}.s`;
}

/** Where the table of the partition is; no thread is ever escaped to it. */
export const TABLE = "=o.t";

/** Records in groups that each fit into a message, for a broker that takes `maxPayload` bytes in one. */
export function groupRecords(records: readonly Uint8Array[], maxPayload: number): Uint8Array[][] {
  const most = Math.min(MAX_BYTES, roomIn(maxPayload));
  const groups: Uint8Array[][] = [[]];
  let bytes = 0;
  for (const record of records) {
    const size = record.length + LENGTH_BYTES;
    if (bytes > 0 && bytes + size > most) {
      groups.push([]);
      bytes = 0;
    }
    groups.at(-1)!.push(record);
    bytes += size;
  }
  return groups;
}

export function encodeThreadMessage(message: ThreadMessage): Uint8Array {
  const { thread, base, index, end, state, records, previous } = message;
  const value = [VERSION, thread, base, index, end, stateCode(state), records, previous];
  return Buffer.from(encodePayload(value));
}

/** Throws `BAD_MESSAGE`. */
export function readThreadMessage({ data, subject }: StoredMessage): ThreadMessage {
  const value = decodePayload(data);
  if (!Array.isArray(value) || value[0] !== VERSION || !Array.isArray(value[6])) {
    throw new MeshError("BAD_MESSAGE", `No record of a thread is stored on ${subject}.`);
  }
  const [, thread, base, index, end, code, records, previous] = value as [
    number,
    string,
    number,
    number,
    number,
    number,
    Uint8Array[],
    number | undefined,
  ];
  const state = STATES[code] ?? { until: code };
  return { thread, base, index, end, state, records, previous };
}

/** A time is greater than any other code. */
function stateCode(state: ThreadState): number {
  return typeof state === "string" ? STATES.indexOf(state) : state.until;
}

/** The records in messages, in order, of which those that are complete count. */
export function* recordsOf(messages: Iterable<ThreadMessage>): Generator<StoredRecord> {
  let open: Uint8Array[] = [];
  for (const { base, index, end, records } of messages) {
    if (index === 0) open = [];
    open.push(...records);
    if (end === 0) continue;
    for (const [i, bytes] of open.entries()) yield { position: base + i + 1, bytes };
    open = [];
  }
}

/** Position of the last complete record, by the last message. */
export function positionOf(last: ThreadMessage | undefined): number {
  if (last === undefined) return 0;
  return last.end === 0 ? last.base : last.end;
}
