import {
  Decoder,
  Encoder,
  ExtData,
  decodeTimestampExtension,
  encodeTimestampExtension,
  type ExtensionCodecType,
} from "@msgpack/msgpack";
import { MeshError, quote } from "./errors.ts";
import { NOT_PLAIN, decodePlain } from "./plain-decoder.ts";
import { encodePlain } from "./plain-encoder.ts";
import { skim } from "./skim.ts";

// MessagePack extension types. −1 is the specification's timestamp; the others are ours and never change.
const EXT_TIMESTAMP = -1;
const EXT_BIGINT = 1; // ASCII hexadecimal with an optional minus sign
const EXT_MAP = 2; // an array of keys and values in turn
const EXT_SET = 3; // an array

const MAX_NESTING = 100; // Maps and Sets within each other; arrays and objects are bounded by the encoder and skim()
const MAX_KEPT_BYTES = 1024 * 1024;
const NOTHING = new Uint8Array(0);

const extensionCodec: ExtensionCodecType<undefined> = {
  // Called for every value that is not nil, boolean, number or string.
  tryToEncode(value) {
    if (isPlain(value)) return null;
    if (typeof value === "bigint") return new ExtData(EXT_BIGINT, ascii(value));
    if (value instanceof Date) {
      const data = Number.isNaN(value.getTime()) ? null : encodeTimestampExtension(value);
      if (data) return new ExtData(EXT_TIMESTAMP, data);
    }
    if (value instanceof Map) return new ExtData(EXT_MAP, encodeList([...value].flat(1)));
    if (value instanceof Set) return new ExtData(EXT_SET, encodeList([...value]));
    throw new TypeError("unencodable");
  },
  decode(data, type) {
    switch (type) {
      case EXT_TIMESTAMP:
        return parseDate(data);
      case EXT_BIGINT:
        return parseBigInt(Buffer.from(data).toString("latin1"));
      case EXT_MAP: {
        const flat = decodeList(data);
        if (flat.length % 2 !== 0) throw bad("A Map has a key without a value");
        const map = new Map<unknown, unknown>();
        for (let i = 0; i < flat.length; i += 2) map.set(flat[i], flat[i + 1]);
        return map;
      }
      case EXT_SET:
        return new Set(decodeList(data));
      default:
        return new ExtData(type, data);
    }
  },
};

// One encoder and decoder for each level of Maps and Sets, so that each has its buffer to itself while it works.
const encoders: Encoder[] = [];
const decoders: Decoder[] = [];
let encoding = 0;
let decoding = 0;

/**
 * Encodes a payload. Objects, arrays, strings, numbers, booleans, null, `Uint8Array`, Date, bigint, Map and Set
 * arrive as what they were; a property that is undefined is left out, and undefined itself is no bytes at all.
 * Throws `UNENCODABLE`, naming the path, for functions, symbols, class instances, invalid dates, cycles, properties
 * called `__proto__` and more than 100 levels.
 * @returns bytes that are valid until the next call: copy or send them at once
 */
export function encodePayload(value: unknown): Uint8Array {
  if (value === undefined) return NOTHING;
  const level = encoding;
  try {
    const plain = encodePlain(value);
    if (plain !== undefined) return plain;
    const bytes = encode(value, level);
    if (bytes.length > MAX_KEPT_BYTES) encoders.length = 0; // the next call starts with small buffers
    return bytes;
  } catch (cause) {
    encoding = level;
    encoders.length = 0;
    const { path, why } = explain(value, cause);
    throw new MeshError("UNENCODABLE", `${path} cannot travel: ${why}.`, { details: { path } });
  }
}

/**
 * Decodes what {@link encodePayload} wrote, between the offsets `from` and `to`. Throws `BAD_MESSAGE` for anything that is not exactly one value. A
 * `Uint8Array` in the value is a view of `bytes`, not a copy.
 */
export function decodePayload(bytes: Uint8Array, from = 0, to = bytes.length): unknown {
  if (from === to) return undefined;
  const plain = decodePlain(bytes, from, to);
  if (plain !== NOT_PLAIN) return plain;
  const level = decoding;
  try {
    // Not bytes.subarray(): what is cut out of a Buffer would be Buffers.
    return decode(new Uint8Array(bytes.buffer, bytes.byteOffset + from, to - from), level);
  } catch (cause) {
    decoding = level;
    if (cause instanceof MeshError) throw cause;
    throw bad(
      `The payload cannot be decoded: ${cause instanceof Error ? cause.message : String(cause)}`,
      cause,
    );
  }
}

function encode(value: unknown, level: number): Uint8Array {
  const encoder = (encoders[level] ??= new Encoder({ extensionCodec, ignoreUndefined: true }));
  return encoder.encodeSharedRef(value);
}

function encodeList(list: readonly unknown[]): Uint8Array {
  if (encoding >= MAX_NESTING) throw new RangeError("it is nested too deep");
  const bytes = encode(list, ++encoding);
  encoding--;
  return bytes;
}

function decode(bytes: Uint8Array, level: number): unknown {
  if (skim(bytes, 0, bytes.length) !== bytes.length) {
    throw bad("There are bytes behind the payload's value");
  }
  const decoder = (decoders[level] ??= new Decoder({ extensionCodec }));
  return decoder.decode(bytes);
}

function decodeList(data: Uint8Array): unknown[] {
  if (decoding >= MAX_NESTING) throw bad("Maps and Sets are nested too deep");
  const list = decode(data, ++decoding);
  decoding--;
  if (!Array.isArray(list)) throw bad("A Map or Set is not written as one");
  return list;
}

function parseDate(data: Uint8Array): Date {
  const date = decodeTimestampExtension(data);
  if (Number.isNaN(date.getTime())) throw bad("A date is out of range");
  return date;
}

function parseBigInt(text: string): bigint {
  if (!/^-?[0-9a-f]+$/.test(text)) throw bad("A bigint is not written as one");
  return text.startsWith("-") ? -BigInt(`0x${text.slice(1)}`) : BigInt(`0x${text}`);
}

function ascii(value: bigint): Uint8Array {
  return Buffer.from(value.toString(16), "latin1");
}

/** What the encoder may take as it is: arrays, bytes and plain objects. */
function isPlain(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  if (Array.isArray(value) || value instanceof Uint8Array) return true;
  const prototype: unknown = Object.getPrototypeOf(value);
  // The third test also admits plain objects of another realm (a vm context, a test runner).
  return (
    (prototype === Object.prototype ||
      prototype === null ||
      Object.getPrototypeOf(prototype) === null) &&
    !Object.hasOwn(value, "__proto__") // no receiver would take it
  );
}

interface Obstacle {
  readonly path: string;
  readonly why: string;
}

/** Says what made the encoder give up. */
function explain(value: unknown, cause: unknown): Obstacle {
  try {
    const found = findUnencodable(value, "value", []);
    if (found) return found;
  } catch {
    // A getter that throws, most likely: what the encoder said has to do.
  }
  return { path: "value", why: cause instanceof Error ? cause.message : String(cause) };
}

function findUnencodable(
  value: unknown,
  path: string,
  ancestors: readonly unknown[],
): Obstacle | undefined {
  if (ancestors.length >= 100) return { path, why: "it is nested deeper than 100 levels" };
  if (
    value === null ||
    ["undefined", "boolean", "number", "string", "bigint"].includes(typeof value)
  )
    return undefined;
  if (typeof value !== "object") return { path, why: `it is a ${typeof value}` };
  if (ancestors.includes(value)) return { path, why: "it contains itself" };
  if (value instanceof Uint8Array) return undefined;
  if (value instanceof Date) {
    return Number.isNaN(value.getTime()) ? { path, why: "it is an invalid date" } : undefined;
  }
  const children = childrenOf(value, path);
  if (children === undefined) return { path, why: `it is ${describeInstance(value)}` };
  const within = [...ancestors, value];
  for (const [childPath, child] of children) {
    const found = findUnencodable(child, childPath, within);
    if (found) return found;
  }
  return undefined;
}

/** The values inside another and their paths; undefined for what is not a container that can travel. */
function childrenOf(value: object, path: string): [string, unknown][] | undefined {
  if (value instanceof Map) {
    return [...(value as Map<unknown, unknown>)].flatMap(([key, item]) => [
      [`${path}.key(${quote(key)})`, key],
      [`${path}.get(${quote(key)})`, item],
    ]);
  }
  if (Array.isArray(value) || value instanceof Set) {
    return [...(value as Iterable<unknown>)].map((item, i) => [`${path}[${i}]`, item]);
  }
  if (!isPlain(value)) return undefined;
  return Object.entries(value).map(([key, item]) => [`${path}.${key}`, item]);
}

function describeInstance(value: object): string {
  if (Object.hasOwn(value, "__proto__")) return "an object with a property called __proto__";
  const { constructor } = value as { constructor?: { name?: unknown } };
  const name = typeof constructor?.name === "string" ? constructor.name : "a class";
  return `an instance of ${name}; pass a plain object`;
}

function bad(why: string, cause?: unknown): MeshError {
  return new MeshError("BAD_MESSAGE", `${why}.`, { cause });
}
