import { decodePayload } from "./codec.ts";
import { MeshError } from "./errors.ts";
import { skim } from "./skim.ts";

/** The version of the wire contract this code speaks. */
export const WIRE_VERSION = 1;

/** What an envelope is. The numbers travel; they never change meaning. */
export const KINDS = {
  request: 1,
  response: 2,
  chunk: 3,
  error: 4,
  event: 5,
  state_update: 6,
  task_delegation: 7,
  handoff: 8,
  proposal: 9,
  control: 10,
} as const;

export type KindName = keyof typeof KINDS;
export type Kind = (typeof KINDS)[KindName];

const KIND_NAMES = new Map<number, KindName>(
  Object.entries(KINDS).map(([name, kind]) => [kind, name as KindName]),
);

/** The name of a kind's number, or undefined for one this version does not know. */
export function kindName(kind: number): KindName | undefined {
  return KIND_NAMES.get(kind);
}

/**
 * The fields of an envelope, in their order on the wire: a MessagePack array with fixed positions. New fields are only
 * ever appended; a reader ignores those it does not know and takes missing ones as absent.
 *
 *  0 version     uint
 *  1 kind        uint, see {@link KINDS}
 *  2 id          str, a ULID; a response, chunk, error or control carries the id of the request it belongs to
 *  3 sender      str, the instance or client that sent it
 *  4 recipient   str or nil, the agent or instance it is meant for
 *  5 name        str, capability, topic or control verb
 *  6 sentAt      uint 64, microseconds since the epoch, sender's clock
 *  7 deadline    uint 64 or nil, microseconds since the epoch, sender's clock: deadline − sentAt is the time left
 *  8 parents     array of str or nil, ids of the messages that caused this one
 *  9 trace       str or nil, W3C traceparent; nil in a request: the id is the trace's root
 * 10 auth        array or nil, reserved for [key id, nonce, signature]
 * 11 contentType str or nil; nil is this codec's MessagePack
 * 12 payload     bin, encoded once and routed without being decoded
 * 13 seq         uint; chunk: its number; response to a stream: number of chunks; request: credit, 0 for no stream;
 *                event: number within its publisher and subject, from 1
 * 14 load        uint; answer: calls the instance has in flight
 */
export interface EnvelopeFields {
  kind: Kind;
  id: string;
  sender: string;
  recipient?: string | undefined;
  name: string;
  sentAt: number;
  deadline?: number | undefined;
  parents?: readonly string[] | undefined;
  trace?: string | undefined;
  contentType?: string | undefined;
  payload: Uint8Array;
  seq?: number | undefined;
  load?: number | undefined;
}

/** How many of them this version writes; it needs the first 13. */
export const FIELD_COUNT = 15;
const REQUIRED_FIELDS = 13;
/** MessagePack's nil. */
export const NIL = 0xc0;

// The cursor of the envelope being read. Reading is synchronous and never nested, so one serves all.
let at = 0;
let end = 0;

/** An envelope as it arrived: checked in full, but texts that routing does not need are decoded when asked for. */
export class Envelope implements EnvelopeFields {
  /** One of {@link KINDS}, or a number that only a newer peer knows. */
  readonly kind: Kind;
  readonly id: string;
  readonly sentAt: number;
  readonly deadline: number | undefined;
  readonly seq: number;
  readonly load: number;
  readonly #bytes: Uint8Array;
  readonly #sender: number;
  readonly #recipient: number;
  readonly #name: number;
  readonly #parents: number;
  readonly #trace: number;
  readonly #contentType: number;
  readonly #payload: number;
  readonly #payloadEnd: number;

  /** Reads the fields at the cursor. Throws `BAD_MESSAGE` if one has another type than the contract's. */
  constructor(bytes: Uint8Array, count: number) {
    this.#bytes = bytes;
    const version = readUint(bytes);
    if (version !== WIRE_VERSION) {
      throw bad(`its version is ${version}, this side speaks ${WIRE_VERSION}`);
    }
    this.kind = requireUint(bytes, "kind") as Kind;
    this.id = textAt(bytes, passText(bytes, "id", false)) ?? "";
    this.#sender = passText(bytes, "sender", false);
    this.#recipient = passText(bytes, "recipient");
    this.#name = passText(bytes, "name", false);
    this.sentAt = requireUint(bytes, "sentAt");
    this.deadline = readUint(bytes);
    this.#parents = passTexts(bytes, "parents");
    this.#trace = passText(bytes, "trace");
    at = skim(bytes, at, end); // auth
    this.#contentType = passText(bytes, "contentType");
    this.#payload = passBinary(bytes);
    this.#payloadEnd = at;
    this.seq = count > 13 ? (readUint(bytes) ?? 0) : 0;
    this.load = count > 14 ? (readUint(bytes) ?? 0) : 0;
    for (let field = FIELD_COUNT; field < count; field++) at = skim(bytes, at, end);
  }

  /** A view of the received bytes, not a copy. */
  get payload(): Uint8Array {
    return this.#bytes.subarray(this.#payload, this.#payloadEnd);
  }

  /** What {@link decodePayload} makes of the payload. */
  get value(): unknown {
    return decodePayload(this.#bytes, this.#payload, this.#payloadEnd);
  }

  get sender(): string {
    return textAt(this.#bytes, this.#sender) ?? "";
  }

  get recipient(): string | undefined {
    return textAt(this.#bytes, this.#recipient);
  }

  get name(): string {
    return textAt(this.#bytes, this.#name) ?? "";
  }

  get parents(): readonly string[] | undefined {
    return textsAt(this.#bytes, this.#parents);
  }

  get trace(): string | undefined {
    return textAt(this.#bytes, this.#trace);
  }

  get contentType(): string | undefined {
    return textAt(this.#bytes, this.#contentType);
  }
}

/**
 * Calls `visit` with each envelope of a NATS message. Throws `BAD_MESSAGE` at the first envelope that is not one of a
 * version this code knows; those before it have been visited.
 */
export function readFrame(bytes: Uint8Array, visit: (envelope: Envelope) => void): void {
  if (bytes.length === 0) throw bad("it is empty");
  let position = 0;
  while (position < bytes.length) {
    const head = bytes[position]!;
    let count: number;
    if (head >= 0x90 && head <= 0x9f) {
      count = head & 0x0f;
      at = position + 1;
    } else if (head === 0xdc && position + 3 <= bytes.length) {
      count = (bytes[position + 1]! << 8) | bytes[position + 2]!;
      at = position + 3;
    } else throw bad("it does not begin with an array");
    if (count < REQUIRED_FIELDS) throw bad(`it has ${count} fields`);
    end = bytes.length;
    const envelope = new Envelope(bytes, count);
    position = at;
    visit(envelope);
  }
}

const latin1Slice = Buffer.prototype.latin1Slice;
const utf8Slice = Buffer.prototype.utf8Slice;

/** Moves the cursor by `length` bytes. */
function advance(length: number): void {
  at += length;
  if (at > end) throw bad("it ends too early");
}

/** Reads an unsigned integer or nil. */
function readUint(bytes: Uint8Array): number | undefined {
  const start = at;
  advance(1);
  const head = bytes[start]!;
  if (head < 0x80) return head;
  if (head === NIL) return undefined;
  if (head < 0xcc || head > 0xcf) throw bad("a number is missing");
  const size = 1 << (head - 0xcc);
  advance(size);
  let value = 0;
  for (let i = start + 1; i < at; i++) value = value * 256 + bytes[i]!;
  if (value > Number.MAX_SAFE_INTEGER) throw bad("a number is too large");
  return value;
}

function requireUint(bytes: Uint8Array, field: string): number {
  const value = readUint(bytes);
  if (value === undefined) throw bad(`${field} is missing`);
  return value;
}

/** Passes over a text, or nil if the field may be absent, and returns where it begins. */
function passText(bytes: Uint8Array, field: string, optional = true): number {
  const start = at;
  advance(1);
  const head = bytes[start]!;
  if (head >= 0xa0 && head < 0xc0) advance(head & 0x1f);
  else if (head === 0xd9) {
    advance(1);
    advance(bytes[start + 1]!);
  } else if (head === 0xda) {
    advance(2);
    advance((bytes[start + 1]! << 8) | bytes[start + 2]!);
  } else if (head !== NIL || !optional) throw bad(`${field} is not a text`);
  return start;
}

/** Passes over a list of texts or nil and returns where it begins. */
function passTexts(bytes: Uint8Array, field: string): number {
  const start = at;
  advance(1);
  const head = bytes[start]!;
  if (head === NIL) return start;
  let count = head & 0x0f;
  if (head === 0xdc) {
    advance(2);
    count = (bytes[start + 1]! << 8) | bytes[start + 2]!;
  } else if (head < 0x90 || head > 0x9f) throw bad(`${field} is not a list`);
  for (let i = 0; i < count; i++) passText(bytes, field, false);
  return start;
}

/** Passes over a binary and returns where its bytes begin. */
function passBinary(bytes: Uint8Array): number {
  const start = at;
  advance(1);
  const head = bytes[start]!;
  if (head < 0xc4 || head > 0xc6) throw bad("the payload is missing");
  const size = 1 << (head - 0xc4);
  advance(size);
  let length = 0;
  for (let i = start + 1; i < at; i++) length = length * 256 + bytes[i]!;
  const from = at;
  advance(length);
  return from;
}

/** The text at an offset that passText() has checked. */
function textAt(bytes: Uint8Array, offset: number): string | undefined {
  const head = bytes[offset]!;
  if (head === NIL) return undefined;
  let start = offset + 1;
  let length = head & 0x1f;
  if (head === 0xd9) {
    length = bytes[offset + 1]!;
    start = offset + 2;
  } else if (head === 0xda) {
    length = (bytes[offset + 1]! << 8) | bytes[offset + 2]!;
    start = offset + 3;
  }
  const stop = start + length;
  for (let i = start; i < stop; i++) {
    if (bytes[i]! >= 0x80) return utf8Slice.call(bytes, start, stop);
  }
  return latin1Slice.call(bytes, start, stop);
}

function textsAt(bytes: Uint8Array, offset: number): string[] | undefined {
  const head = bytes[offset]!;
  if (head === NIL) return undefined;
  const wide = head === 0xdc;
  const count = wide ? (bytes[offset + 1]! << 8) | bytes[offset + 2]! : head & 0x0f;
  const list: string[] = [];
  let position = offset + (wide ? 3 : 1);
  for (let i = 0; i < count; i++) {
    list.push(textAt(bytes, position) ?? "");
    position = skim(bytes, position, bytes.length);
  }
  return list;
}

function bad(why: string): MeshError {
  return new MeshError("BAD_MESSAGE", `Not a Plexus envelope: ${why}.`);
}
