import {
  KINDS,
  MeshError,
  encodePayload,
  fromWireError,
  packEvent,
  unpackEvent,
  type Entity,
  type Envelope,
  type EnvelopeFields,
  type RecordedEvent,
  type WireError,
} from "@plexus/core";
import { nowUs } from "./clock.ts";
import { readEnvelope } from "./task-message.ts";

/** How a command ended. */
export type Outcome = { readonly output: unknown } | { readonly error: WireError };

/** One executed command in the journal: its events and outcome, in one message, so all of it is there or nothing. */
export interface CommandRecord {
  /** Of the owner that wrote it. */
  readonly epoch: number;
  readonly id: string;
  readonly key: string;
  readonly command: string;
  /** Of a durable command: its place in the stream of commands. */
  readonly durable?: number | undefined;
  /** Sequence of the key's record before this one, 0 for its first; undefined: whoever wrote it did not know. */
  readonly previous?: number | undefined;
  readonly events: readonly RecordedEvent[];
  readonly outcome: Outcome;
}

/**
 * Says who owns a partition. Every record is written on the condition that the last one of these is still the writer's, so
 * what owners of older epochs still send is refused.
 */
export interface FenceRecord {
  readonly epoch: number;
  /** Sequence of the last durable command that need not be looked at any more. */
  readonly cursor: number;
  /** The durable command that was begun next, 0 for none in particular, and how many owners have begun with it. */
  readonly next: number;
  readonly tries: number;
}

/** Last token of the subject of fences; no key is ever escaped to it. */
export const FENCE = "=e";

/** @throws `UNENCODABLE` for an output that cannot travel */
export function commandFields(
  sender: string,
  trace: string | undefined,
  { id, key, command, epoch, durable, previous, events, outcome }: CommandRecord,
): EnvelopeFields {
  const body = "output" in outcome ? { output: outcome.output } : { error: outcome.error };
  return {
    kind: KINDS.state_update,
    id,
    sender,
    recipient: key,
    name: command,
    sentAt: nowUs(),
    trace,
    payload: encodePayload({ epoch, durable, previous, events: events.map(packEvent), ...body }),
    seq: events.length,
  };
}

export function fenceFields(sender: string, id: string, record: FenceRecord): EnvelopeFields {
  return {
    kind: KINDS.control,
    id,
    sender,
    name: "fence",
    sentAt: nowUs(),
    payload: encodePayload(record),
  };
}

/** What the record says; an outcome without an error is an output, `undefined` if there is none. Throws `BAD_MESSAGE`. */
export function readCommand(data: Uint8Array): CommandRecord {
  const { id, recipient: key = "", name: command, value } = readKind(data, KINDS.state_update);
  const body = value as {
    readonly epoch?: number;
    readonly durable?: number;
    readonly previous?: number;
    readonly events?: readonly unknown[];
    readonly output?: unknown;
    readonly error?: WireError;
  };
  const { epoch, durable, previous, events, output, error } = body ?? {};
  demand(isNumber(epoch) && Array.isArray(events));
  const outcome = error === undefined ? { output } : { error: fromWireError(error).toJSON() };
  const recorded = events.map(unpackEvent);
  return { epoch, id, key, command, durable, previous, events: recorded, outcome };
}

/** Throws `BAD_MESSAGE`. */
export function readFence(data: Uint8Array): FenceRecord {
  const { epoch, cursor, next, tries } = (readKind(data, KINDS.control).value ??
    {}) as Partial<FenceRecord>;
  demand(isNumber(epoch) && isNumber(cursor) && isNumber(next) && isNumber(tries));
  return { epoch, cursor, next, tries };
}

/** The state after recorded events, brought up to what the contract has now. Throws `INCOMPATIBLE_EVENT`. */
export function foldRecorded(
  { fold, types }: Entity,
  state: unknown,
  events: readonly RecordedEvent[],
): unknown {
  let next = state;
  for (const event of events) {
    const data = types.read(event);
    next = fold[event[0]]!(next, data);
  }
  return next;
}

function isNumber(value: number | undefined): value is number {
  return Number.isSafeInteger(value);
}

function readKind(data: Uint8Array, kind: number): Envelope {
  const envelope = readEnvelope(data);
  demand(envelope.kind === kind);
  return envelope;
}

function demand(readable: boolean): asserts readable {
  if (!readable) throw new MeshError("BAD_MESSAGE", "No record that an entity's owner writes.");
}
