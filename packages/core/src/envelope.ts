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

const FIELD_COUNT = 15;
const MAX_STRING = 0xffff;
const NIL = 0xc0;

/**
 * Collects envelopes for one subject. A NATS message carries one envelope, or a *frame* of several, simply one behind
 * the other; {@link readFrame} accepts both.
 */
export class FrameWriter {
  #bytes: Buffer;
  #length = 0;
  #count = 0;

  constructor(initialBytes = 1024) {
    this.#bytes = Buffer.allocUnsafeSlow(initialBytes);
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#length;
  }

  /** Envelopes written so far. */
  get count(): number {
    return this.#count;
  }

  /** Appends one envelope. */
  write(fields: EnvelopeFields): void {
    this.#reserve(
      256 +
        3 *
          (fields.id.length +
            fields.sender.length +
            fields.name.length +
            (fields.recipient?.length ?? 0) +
            (fields.trace?.length ?? 0) +
            (fields.contentType?.length ?? 0)) +
        (fields.parents?.reduce((sum, id) => sum + 3 + 3 * id.length, 0) ?? 0) +
        fields.payload.length,
    );
    const bytes = this.#bytes;
    bytes[this.#length++] = 0x90 | FIELD_COUNT;
    bytes[this.#length++] = WIRE_VERSION;
    bytes[this.#length++] = fields.kind;
    this.#string(fields.id);
    this.#string(fields.sender);
    this.#string(fields.recipient);
    this.#string(fields.name);
    this.#uint64(fields.sentAt);
    if (fields.deadline === undefined) bytes[this.#length++] = NIL;
    else this.#uint64(fields.deadline);
    this.#strings(fields.parents);
    this.#string(fields.trace);
    bytes[this.#length++] = NIL; // auth
    this.#string(fields.contentType);
    this.#binary(fields.payload);
    this.#uint(fields.seq ?? 0);
    this.#uint(fields.load ?? 0);
    this.#count++;
  }

  /** Drops everything behind byte `length`, to take back the last envelope. */
  truncate(length: number, count: number): void {
    this.#length = length;
    this.#count = count;
  }

  /** Returns a copy of the frame's bytes and starts the next one. */
  take(): Uint8Array {
    const frame = Buffer.from(this.#bytes.subarray(0, this.#length));
    this.#length = 0;
    this.#count = 0;
    return frame;
  }

  #reserve(size: number): void {
    const needed = this.#length + size;
    if (needed <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafeSlow(needed * 2);
    this.#bytes.copy(larger, 0, 0, this.#length);
    this.#bytes = larger;
  }

  #string(text: string | undefined): void {
    const bytes = this.#bytes;
    if (text === undefined) {
      bytes[this.#length++] = NIL;
      return;
    }
    // str 8 with the length filled in afterwards; only unusually long texts need str 16.
    const wide = text.length > 80;
    const header = wide ? 3 : 2;
    const start = this.#length + header;
    let written = text.length;
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      if (code >= 0x80) {
        written = bytes.write(text, start, MAX_STRING, "utf8");
        break;
      }
      bytes[start + i] = code;
    }
    if (wide) {
      bytes[this.#length] = 0xda;
      bytes[this.#length + 1] = written >>> 8;
      bytes[this.#length + 2] = written & 0xff;
    } else {
      bytes[this.#length] = 0xd9;
      bytes[this.#length + 1] = written;
    }
    this.#length = start + written;
  }

  #strings(list: readonly string[] | undefined): void {
    const bytes = this.#bytes;
    if (list === undefined || list.length === 0) {
      bytes[this.#length++] = NIL;
      return;
    }
    bytes[this.#length++] = 0xdc;
    bytes[this.#length++] = list.length >>> 8;
    bytes[this.#length++] = list.length & 0xff;
    for (const text of list) this.#string(text);
  }

  #uint64(value: number): void {
    const bytes = this.#bytes;
    bytes[this.#length] = 0xcf;
    bytes.writeUInt32BE(Math.floor(value / 0x1_0000_0000), this.#length + 1);
    bytes.writeUInt32BE((value % 0x1_0000_0000) >>> 0, this.#length + 5);
    this.#length += 9;
  }

  #uint(value: number): void {
    const bytes = this.#bytes;
    if (value < 0x80) {
      bytes[this.#length++] = value;
      return;
    }
    bytes[this.#length] = 0xce;
    bytes.writeUInt32BE(Math.min(value, 0xffff_ffff), this.#length + 1);
    this.#length += 5;
  }

  #binary(data: Uint8Array): void {
    const bytes = this.#bytes;
    const { length } = data;
    if (length < 0x1_0000) {
      bytes[this.#length] = 0xc5;
      bytes[this.#length + 1] = length >>> 8;
      bytes[this.#length + 2] = length & 0xff;
      this.#length += 3;
    } else {
      bytes[this.#length] = 0xc6;
      bytes.writeUInt32BE(length, this.#length + 1);
      this.#length += 5;
    }
    bytes.set(data, this.#length);
    this.#length += length;
  }
}

/** An envelope as it arrived. Texts that routing does not need are decoded when they are asked for. */
export class Envelope implements EnvelopeFields {
  readonly kind: Kind;
  readonly id: string;
  readonly sentAt: number;
  readonly deadline: number | undefined;
  readonly payload: Uint8Array;
  readonly seq: number;
  readonly load: number;
  readonly #bytes: Uint8Array;
  readonly #offsets: readonly number[];

  constructor(bytes: Uint8Array, offsets: number[]) {
    this.#bytes = bytes;
    this.#offsets = offsets;
    this.kind = (readUint(bytes, offsets[1]) ?? 0) as Kind;
    this.id = readString(bytes, offsets[2]) ?? "";
    this.sentAt = readUint(bytes, offsets[6]) ?? 0;
    this.deadline = readUint(bytes, offsets[7]);
    this.payload = readBinary(bytes, offsets[12]);
    this.seq = readUint(bytes, offsets[13]) ?? 0;
    this.load = readUint(bytes, offsets[14]) ?? 0;
  }

  get sender(): string {
    return readString(this.#bytes, this.#offsets[3]) ?? "";
  }

  get recipient(): string | undefined {
    return readString(this.#bytes, this.#offsets[4]);
  }

  get name(): string {
    return readString(this.#bytes, this.#offsets[5]) ?? "";
  }

  get parents(): readonly string[] | undefined {
    return readStrings(this.#bytes, this.#offsets[8]);
  }

  get trace(): string | undefined {
    return readString(this.#bytes, this.#offsets[9]);
  }

  get contentType(): string | undefined {
    return readString(this.#bytes, this.#offsets[11]);
  }
}

/**
 * Calls `visit` with each envelope of a NATS message. Throws `BAD_MESSAGE` at the first byte that is not part of an
 * envelope of a version this code knows; the envelopes before it have been visited.
 */
export function readFrame(bytes: Uint8Array, visit: (envelope: Envelope) => void): void {
  if (bytes.length === 0) throw bad("it is empty");
  let position = 0;
  while (position < bytes.length) {
    const head = bytes[position]!;
    let count: number;
    let cursor: number;
    if (head >= 0x90 && head <= 0x9f) {
      count = head & 0x0f;
      cursor = position + 1;
    } else if (head === 0xdc && position + 3 <= bytes.length) {
      count = (bytes[position + 1]! << 8) | bytes[position + 2]!;
      cursor = position + 3;
    } else throw bad("it does not begin with an array");
    if (count < 13) throw bad(`it has ${count} fields`);
    if (count > bytes.length - cursor) throw bad("it promises more fields than it has bytes");
    const offsets: number[] = [];
    for (let field = 0; field < count; field++) {
      if (field < FIELD_COUNT) offsets.push(cursor);
      cursor = skim(bytes, cursor, bytes.length);
    }
    const version = readUint(bytes, offsets[0]);
    if (version !== WIRE_VERSION)
      throw bad(`its version is ${version}, this side speaks ${WIRE_VERSION}`);
    visit(new Envelope(bytes, offsets));
    position = cursor;
  }
}

const latin1Slice = Buffer.prototype.latin1Slice;
const utf8Slice = Buffer.prototype.utf8Slice;

// The readers below trust that skim() has checked the value's extent.

function readUint(bytes: Uint8Array, offset: number | undefined): number | undefined {
  if (offset === undefined) return undefined;
  const head = bytes[offset]!;
  if (head < 0x80) return head;
  const size = head === 0xcc ? 1 : head === 0xcd ? 2 : head === 0xce ? 4 : head === 0xcf ? 8 : 0;
  if (size === 0) {
    if (head === NIL) return undefined;
    throw bad("a number is missing");
  }
  let value = 0;
  for (let i = 1; i <= size; i++) value = value * 256 + bytes[offset + i]!;
  return value;
}

function readString(bytes: Uint8Array, offset: number | undefined): string | undefined {
  if (offset === undefined) return undefined;
  const head = bytes[offset]!;
  if (head === NIL) return undefined;
  let length: number;
  let start: number;
  if (head >= 0xa0 && head < 0xc0) {
    length = head & 0x1f;
    start = offset + 1;
  } else if (head === 0xd9) {
    length = bytes[offset + 1]!;
    start = offset + 2;
  } else if (head === 0xda) {
    length = (bytes[offset + 1]! << 8) | bytes[offset + 2]!;
    start = offset + 3;
  } else throw bad("a text is missing");
  const end = start + length;
  for (let i = start; i < end; i++) {
    if (bytes[i]! >= 0x80) return utf8Slice.call(bytes, start, end);
  }
  return latin1Slice.call(bytes, start, end);
}

function readStrings(bytes: Uint8Array, offset: number | undefined): string[] | undefined {
  if (offset === undefined || bytes[offset] === NIL) return undefined;
  const head = bytes[offset]!;
  const wide = head === 0xdc;
  if (!wide && (head < 0x90 || head > 0x9f)) throw bad("a list of ids is missing");
  const count = wide ? (bytes[offset + 1]! << 8) | bytes[offset + 2]! : head & 0x0f;
  const list: string[] = [];
  let cursor = offset + (wide ? 3 : 1);
  for (let i = 0; i < count; i++) {
    const text = readString(bytes, cursor);
    if (text !== undefined) list.push(text);
    cursor = skim(bytes, cursor, bytes.length);
  }
  return list;
}

function readBinary(bytes: Uint8Array, offset: number | undefined): Uint8Array {
  const head = offset === undefined ? NIL : bytes[offset]!;
  const size = head === 0xc4 ? 1 : head === 0xc5 ? 2 : head === 0xc6 ? 4 : 0;
  if (offset === undefined || size === 0) throw bad("the payload is missing");
  let length = 0;
  for (let i = 1; i <= size; i++) length = length * 256 + bytes[offset + i]!;
  const start = offset + 1 + size;
  return bytes.subarray(start, start + length);
}

function bad(why: string): MeshError {
  return new MeshError("BAD_MESSAGE", `Not a Plexus envelope: ${why}.`);
}
