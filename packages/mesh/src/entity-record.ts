import {
  KINDS,
  MeshError,
  encodePayload,
  fromWireError,
  type Envelope,
  type EnvelopeFields,
  type WireError,
} from "@plexus/core";
import { nowUs } from "./clock.ts";
import { readEnvelope } from "./task-message.ts";

/** How a command ended. */
export type Outcome = { readonly output: unknown } | { readonly error: WireError };

/** One event, as a record holds it. */
export type RecordedEvent = readonly [name: string, data: unknown];

/** Where the owner of a partition stood when it wrote. */
export interface OwnerState {
  readonly epoch: number;
  /** Sequence of the last durable command that has been executed. */
  readonly cursor: number;
}

/** One executed command in the journal: its events and outcome, in one message, so all of it is there or nothing. */
export interface CommandRecord extends OwnerState {
  readonly id: string;
  readonly key: string;
  readonly command: string;
  readonly events: readonly RecordedEvent[];
  readonly outcome: Outcome;
}

/** An owner's first record of a partition: with it, what owners of older epochs still write is refused. */
export interface FenceRecord extends OwnerState {
  /** The durable command that waits, 0 for none, and how many owners before this one had it waiting, too. */
  readonly next: number;
  readonly tries: number;
}

/** Last token of the subject of fences; no key is ever escaped to it. */
export const FENCE = "=e";

/** @throws `UNENCODABLE` for an output that cannot travel */
export function commandFields(
  sender: string,
  trace: string | undefined,
  { id, key, command, epoch, cursor, events, outcome }: CommandRecord,
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
    payload: encodePayload({ epoch, cursor, events: events.map(withoutNothing), ...body }),
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
  const envelope = demandKind(readEnvelope(data), KINDS.state_update);
  const body = envelope.value as OwnerState & {
    events: readonly RecordedEvent[];
    output?: unknown;
    error?: WireError;
  };
  const { events, error, output } = body;
  return {
    ...ownerState(body),
    id: envelope.id,
    key: envelope.recipient ?? "",
    command: envelope.name,
    events,
    outcome: error === undefined ? { output } : { error: fromWireError(error).toJSON() },
  };
}

export function readFence(data: Uint8Array): FenceRecord {
  const envelope = demandKind(readEnvelope(data), KINDS.control);
  const { next, tries } = envelope.value as FenceRecord;
  return { ...ownerState(envelope.value), next, tries };
}

/** Where the owner stood that wrote this record, of either kind. */
export function readOwnerState(data: Uint8Array): OwnerState {
  return ownerState(readEnvelope(data).value);
}

/** In an array, `undefined` would travel as null. */
function withoutNothing([name, data]: RecordedEvent): readonly unknown[] {
  return data === undefined ? [name] : [name, data];
}

function ownerState(value: unknown): OwnerState {
  const { epoch, cursor } = (value ?? {}) as Partial<OwnerState>;
  if (Number.isSafeInteger(epoch) && Number.isSafeInteger(cursor)) {
    return { epoch: epoch!, cursor: cursor! };
  }
  throw new MeshError("BAD_MESSAGE", "A record of an entity names no epoch.");
}

function demandKind(envelope: Envelope, kind: number): Envelope {
  if (envelope.kind === kind) return envelope;
  throw new MeshError("BAD_MESSAGE", `A record of kind ${envelope.kind} stands in for ${kind}.`);
}
