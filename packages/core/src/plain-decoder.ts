/** What {@link decodePlain} returns for bytes that it leaves to the reference decoder. */
export const NOT_PLAIN = Symbol("not plain");

const MAX_DEPTH = 90;
const WORD_CACHE_SIZE = 4_096;
const MAX_WORD = 12; // longer values are ids and prose, which do not repeat

const latin1Slice = Buffer.prototype.latin1Slice;
const utf8Slice = Buffer.prototype.utf8Slice;
const words = Array.from<string | undefined>({ length: WORD_CACHE_SIZE });
const double = new DataView(new ArrayBuffer(8));

// The value being decoded. Decoding is synchronous and never nested, so one cursor serves all.
let bytes: Uint8Array;
let at = 0;
let end = 0;

/**
 * Decodes what almost every payload consists of: objects with text keys, arrays, texts, numbers, booleans and nil. It
 * takes about half the time of @msgpack/msgpack, and allocates no more than the bytes hold. Anything else, malformed
 * bytes included, is `NOT_PLAIN` and for the reference decoder to judge; both give the same value.
 */
export function decodePlain(message: Uint8Array, from = 0, to = message.length): unknown {
  bytes = message;
  at = from;
  end = to;
  const value = read(0);
  return at === end ? value : NOT_PLAIN;
}

function read(depth: number): unknown {
  if (at >= end) return NOT_PLAIN;
  const head = bytes[at++]!;
  if (head < 0x80) return head;
  if (head < 0x90) return readMap(head & 0x0f, depth);
  if (head < 0xa0) return readArray(head & 0x0f, depth);
  if (head < 0xc0) return (head & 0x1f) > MAX_WORD ? readText(head & 0x1f) : readWord(head & 0x1f);
  if (head >= 0xe0) return head - 0x100;
  switch (head) {
    case 0xc0:
      return null;
    case 0xc2:
      return false;
    case 0xc3:
      return true;
    case 0xcb:
      return readDouble();
    case 0xcc:
      return readNumber(1);
    case 0xcd:
      return readNumber(2);
    case 0xce:
      return readNumber(4);
    case 0xcf:
      return readNumber(8);
    case 0xd9:
      return readText(readUint(1));
    case 0xda:
      return readText(readUint(2));
    case 0xdc:
      return readArray(readUint(2), depth);
    case 0xde:
      return readMap(readUint(2), depth);
    default:
      return NOT_PLAIN;
  }
}

/** NaN when the bytes end too early: then no comparison holds and nothing is read. */
function readUint(size: number): number {
  if (at + size > end) return Number.NaN;
  let value = 0;
  for (const stop = at + size; at < stop; at++) value = value * 256 + bytes[at]!;
  return value;
}

function readNumber(size: number): unknown {
  if (at + size > end) return NOT_PLAIN;
  return size === 8 ? readUint(4) * 0x1_0000_0000 + readUint(4) : readUint(size);
}

function readDouble(): unknown {
  if (at + 8 > end) return NOT_PLAIN;
  for (let i = 0; i < 8; i++) double.setUint8(i, bytes[at++]!);
  return double.getFloat64(0);
}

function readText(length: number): string | typeof NOT_PLAIN {
  const start = at;
  if (!(start + length <= end)) return NOT_PLAIN;
  at = start + length;
  let ascii = true;
  for (let i = start; i < at; i++) {
    const byte = bytes[i]!;
    if (byte < 0x80) continue;
    if (byte === 0xed) return NOT_PLAIN; // may be half of a surrogate pair, which the reference keeps
    ascii = false;
  }
  return ascii ? latin1Slice.call(bytes, start, at) : utf8Slice.call(bytes, start, at);
}

/** Keys and short values, such as symbols, repeat from message to message, so their strings are kept. */
function readWord(length: number): string | typeof NOT_PLAIN {
  const start = at;
  const stop = start + length;
  if (stop > end) return NOT_PLAIN;
  let hash = length;
  for (let i = start; i < stop; i++) hash = (hash * 31 + bytes[i]!) & (WORD_CACHE_SIZE - 1);
  const known = words[hash];
  if (known !== undefined && known.length === length) {
    let i = 0;
    while (i < length && known.charCodeAt(i) === bytes[start + i]) i++;
    if (i === length) {
      at = stop;
      return known;
    }
  }
  const word = readText(length);
  if (word === NOT_PLAIN) return NOT_PLAIN;
  if (word.length === length) words[hash] = word;
  return word;
}

function readArray(count: number, depth: number): unknown {
  if (!(count <= end - at) || depth >= MAX_DEPTH) return NOT_PLAIN;
  const list: unknown[] = [];
  for (let i = 0; i < count; i++) {
    const item = read(depth + 1);
    if (item === NOT_PLAIN) return NOT_PLAIN;
    list.push(item);
  }
  return list;
}

function readMap(count: number, depth: number): unknown {
  if (!(count * 2 <= end - at) || depth >= MAX_DEPTH) return NOT_PLAIN;
  const map: Record<string, unknown> = {};
  for (let i = 0; i < count; i++) {
    const head = at < end ? bytes[at++]! : 0;
    if (head < 0xa0 || head > 0xbf) return NOT_PLAIN;
    const key = readWord(head & 0x1f);
    if (key === NOT_PLAIN || key === "__proto__") return NOT_PLAIN;
    const value = read(depth + 1);
    if (value === NOT_PLAIN) return NOT_PLAIN;
    map[key] = value;
  }
  return map;
}
