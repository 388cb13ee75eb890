import {
  KINDS,
  MeshError,
  unpackEvent,
  type Envelope,
  type EnvelopeFields,
  type EventTypes,
  type Journal,
  type RecordedEvent,
} from "@plexus/core";
import type { z } from "zod";
import { nowUs } from "./clock.ts";
import { currentScope } from "./context.ts";
import { readEnvelope } from "./task-message.ts";

/** Of an event: that of its append and, behind the first of several, its number there. */
export type EventId = string;

/** What is known of a recorded event beside its type and data. */
export interface EventFacts {
  /** Of its append: rises, with gaps. The events of one append have it in common. */
  readonly sequence: number;
  /** Its place among the events of its append, from 0. */
  readonly index: number;
  readonly key: string;
  /** Under which it was recorded; `data` is what the contract has made of it. */
  readonly version: number;
  /** Ids of what caused it. */
  readonly parents: readonly EventId[];
  /** When it was stored, by the broker's clock: milliseconds since the epoch. */
  readonly at: number;
  readonly id: EventId;
  /** The process that appended it. */
  readonly by: string;
}

/** An event of a journal as its contract has it. `type` tells what `data` is. */
export type JournalEvent<J extends Journal = Journal> = {
  [E in keyof J["events"] & string]: EventFacts & {
    readonly type: E;
    readonly data: z.output<J["events"][E]>;
  };
}[keyof J["events"] & string];

/** An event to be appended. */
export type NewEvent<J extends Journal = Journal> = {
  [E in keyof J["events"] & string]: {
    readonly type: E;
    readonly data: z.input<J["events"][E]>;
  };
}[keyof J["events"] & string];

/** What is stored for one append, as it was met in the stream. */
export interface StoredRecord {
  readonly data: Uint8Array;
  readonly sequence: number;
  readonly storedAt: number;
}

/** The id of the event with this number in an append. */
export function eventId(append: EventId, index: number): EventId {
  return index === 0 ? append : `${append}/${index}`;
}

/** The envelope of one append. */
export function recordFields(
  journal: string,
  sender: string,
  append: { readonly id: string; readonly key: string; readonly count: number },
  parents: readonly EventId[],
  payload: Uint8Array,
): EnvelopeFields {
  return {
    kind: KINDS.event,
    id: append.id,
    sender,
    recipient: append.key,
    name: journal,
    sentAt: nowUs(),
    parents: parents.length > 0 ? parents : undefined,
    trace: currentScope()?.traceparent,
    payload,
    seq: append.count,
  };
}

/** The envelope of a record and its events as they were recorded. Throws `BAD_MESSAGE`. */
export function readRecord(data: Uint8Array): {
  readonly envelope: Envelope;
  readonly events: readonly RecordedEvent[];
} {
  const envelope = readEnvelope(data);
  const { kind, value } = envelope;
  if ((kind !== KINDS.event && kind !== KINDS.state_update) || !Array.isArray(value)) {
    throw new MeshError("BAD_MESSAGE", "Not a record of a journal.");
  }
  return { envelope, events: value.map(unpackEvent) };
}

/** When the events of a record happened, by the broker's clock. That of an imported one (`state_update`) says it itself. */
export function recordedAt(envelope: Envelope, storedAt: number): number {
  return envelope.kind === KINDS.state_update ? Math.floor(envelope.sentAt / 1_000) : storedAt;
}

/** The events of a record as the contract has them. Throws `BAD_MESSAGE` or `INCOMPATIBLE_EVENT`. */
export function eventsOf(types: EventTypes, record: StoredRecord): JournalEvent[] {
  const { envelope, events } = readRecord(record.data);
  const { id, recipient: key = "", sender: by, parents = NONE } = envelope;
  const { sequence } = record;
  const at = recordedAt(envelope, record.storedAt);
  return events.map((event, index) => {
    const [type, , version = 1] = event;
    return {
      sequence,
      index,
      key,
      type,
      version,
      data: types.read(event),
      parents: index === 0 ? parents : [eventId(id, index - 1)],
      at,
      id: eventId(id, index),
      by,
    };
  });
}

const NONE: readonly EventId[] = [];
