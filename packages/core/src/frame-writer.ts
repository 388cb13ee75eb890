import { FIELD_COUNT, NIL, WIRE_VERSION, type EnvelopeFields } from "./envelope.ts";
import { MeshError } from "./errors.ts";

/** All texts of one envelope together, in UTF-16 code units: so that each fits str 16, whatever its characters. */
const MAX_TEXT = Math.floor(0xffff / 3);
const MAX_PARENTS = 0xffff;
const FIXED_BYTES = 256; // more than everything but texts, parents and payload takes
const INITIAL_BYTES = 1_024;
const MAX_KEPT_BYTES = 256 * 1_024; // a larger buffer is given away with its frame instead of being kept

/**
 * Collects envelopes for one subject. A NATS message carries one envelope, or a *frame* of several, simply one behind
 * the other; `readFrame` accepts both.
 */
export class FrameWriter {
  #bytes = Buffer.allocUnsafeSlow(INITIAL_BYTES);
  #length = 0;
  #count = 0;

  /** Bytes written so far. */
  get length(): number {
    return this.#length;
  }

  /** Envelopes written so far. */
  get count(): number {
    return this.#count;
  }

  /**
   * Appends one envelope, the payload's bytes included: they may change afterwards. Throws `MESSAGE_TOO_LARGE`, and
   * appends nothing, when the texts besides the payload pass 21,845 characters in all or there are more than 65,535
   * parents.
   */
  write(fields: EnvelopeFields): void {
    const { id, sender, recipient, name, parents, trace, contentType, payload, deadline } = fields;
    const texts =
      id.length +
      sender.length +
      name.length +
      (recipient === undefined ? 0 : recipient.length) +
      (trace === undefined ? 0 : trace.length) +
      (contentType === undefined ? 0 : contentType.length);
    let size = FIXED_BYTES + 3 * texts + payload.length;
    if (texts > MAX_TEXT) throw tooLarge(`its texts have ${texts} characters`);
    if (parents !== undefined) size += parentsSize(parents);
    const bytes = this.#reserve(size);
    let at = this.#length;
    bytes[at++] = 0x90 | FIELD_COUNT;
    bytes[at++] = WIRE_VERSION;
    bytes[at++] = fields.kind;
    at = putText(bytes, at, id);
    at = putText(bytes, at, sender);
    at = putText(bytes, at, recipient);
    at = putText(bytes, at, name);
    at = putUint64(bytes, at, fields.sentAt);
    if (deadline === undefined) bytes[at++] = NIL;
    else at = putUint64(bytes, at, deadline);
    at = putTexts(bytes, at, parents);
    at = putText(bytes, at, trace);
    bytes[at++] = NIL; // auth
    at = putText(bytes, at, contentType);
    at = putBinary(bytes, at, payload);
    at = putUint(bytes, at, fields.seq ?? 0);
    at = putUint(bytes, at, fields.load ?? 0);
    this.#length = at;
    this.#count++;
  }

  /** Appends an envelope that is encoded already. */
  append(envelope: Uint8Array): void {
    this.#reserve(envelope.length).set(envelope, this.#length);
    this.#length += envelope.length;
    this.#count++;
  }

  /** Drops everything behind byte `length`, to take back the last envelope. */
  truncate(length: number, count: number): void {
    this.#length = length;
    this.#count = count;
  }

  /** Returns the frame's bytes, which are the caller's from now on, and starts the next one. */
  take(): Uint8Array {
    const written = this.#bytes.subarray(0, this.#length);
    this.#length = 0;
    this.#count = 0;
    if (this.#bytes.length <= MAX_KEPT_BYTES) return Buffer.from(written);
    this.#bytes = Buffer.allocUnsafeSlow(INITIAL_BYTES);
    return written;
  }

  #reserve(size: number): Buffer {
    const needed = this.#length + size;
    if (needed > this.#bytes.length) {
      // A large payload gets what it needs; otherwise doubling keeps the copying linear.
      const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.#bytes.length * 2));
      this.#bytes.copy(larger, 0, 0, this.#length);
      this.#bytes = larger;
    }
    return this.#bytes;
  }
}

// Each of these writes one value at offset `at` and returns the offset behind it.

function putText(bytes: Buffer, at: number, text: string | undefined): number {
  if (text === undefined) {
    bytes[at] = NIL;
    return at + 1;
  }
  // str 8 with the length filled in afterwards; only unusually long texts need str 16.
  const { length } = text;
  const wide = length > 80;
  const start = at + (wide ? 3 : 2);
  let written = length;
  for (let i = 0; i < length; i++) {
    const code = text.charCodeAt(i);
    if (code >= 0x80) {
      written = bytes.write(text, start, "utf8");
      break;
    }
    bytes[start + i] = code;
  }
  if (wide) {
    bytes[at] = 0xda;
    bytes[at + 1] = written >>> 8;
    bytes[at + 2] = written & 0xff;
  } else {
    bytes[at] = 0xd9;
    bytes[at + 1] = written;
  }
  return start + written;
}

function putTexts(bytes: Buffer, at: number, list: readonly string[] | undefined): number {
  if (list === undefined || list.length === 0) {
    bytes[at] = NIL;
    return at + 1;
  }
  bytes[at] = 0xdc;
  bytes[at + 1] = list.length >>> 8;
  bytes[at + 2] = list.length & 0xff;
  let end = at + 3;
  for (const text of list) end = putText(bytes, end, text);
  return end;
}

/** A time in whole microseconds. What is beyond exact numbers is as good as never and written as their limit. */
function putUint64(bytes: Buffer, at: number, value: number): number {
  const whole = value > 0 ? Math.min(Math.floor(value), Number.MAX_SAFE_INTEGER) : 0;
  bytes[at] = 0xcf;
  putUint32(bytes, at + 1, Math.floor(whole / 0x1_0000_0000));
  return putUint32(bytes, at + 5, whole % 0x1_0000_0000);
}

function putUint(bytes: Buffer, at: number, value: number): number {
  if (value >= 0x80) {
    if (value > 0xffff_ffff) return putUint64(bytes, at, value);
    bytes[at] = 0xce;
    return putUint32(bytes, at + 1, value);
  }
  bytes[at] = value > 0 ? value : 0;
  return at + 1;
}

function putUint32(bytes: Buffer, at: number, value: number): number {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
  return at + 4;
}

function putBinary(bytes: Buffer, at: number, data: Uint8Array): number {
  const { length } = data;
  let start = at + 3;
  if (length < 0x1_0000) {
    bytes[at] = 0xc5;
    bytes[at + 1] = length >>> 8;
    bytes[at + 2] = length & 0xff;
  } else {
    bytes[at] = 0xc6;
    start = putUint32(bytes, at + 1, length);
  }
  bytes.set(data, start);
  return start + length;
}

function parentsSize(parents: readonly string[]): number {
  if (parents.length > MAX_PARENTS) throw tooLarge(`it has ${parents.length} parents`);
  let size = 0;
  for (const id of parents) {
    if (id.length > MAX_TEXT) throw tooLarge(`a parent's id has ${id.length} characters`);
    size += 3 + 3 * id.length;
  }
  return size;
}

function tooLarge(why: string): MeshError {
  return new MeshError("MESSAGE_TOO_LARGE", `The envelope cannot be written: ${why}.`);
}
