import {
  Decoder,
  Encoder,
  ExtData,
  decodeTimestampExtension,
  encodeTimestampExtension,
  type ExtensionCodecType,
} from "@msgpack/msgpack";
import { MeshError } from "./errors.ts";
import { skim } from "./skim.ts";

// MessagePack extension types. −1 is the specification's timestamp; the others are ours and never change.
const EXT_TIMESTAMP = -1;
const EXT_BIGINT = 1; // ASCII hexadecimal with an optional minus sign
const EXT_MAP = 2; // an array of keys and values in turn
const EXT_SET = 3; // an array

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
    if (value instanceof Map) return new ExtData(EXT_MAP, encoder.encode([...value].flat(1)));
    if (value instanceof Set) return new ExtData(EXT_SET, encoder.encode([...value]));
    throw new TypeError("unencodable");
  },
  decode(data, type) {
    switch (type) {
      case EXT_TIMESTAMP:
        return decodeTimestampExtension(data);
      case EXT_BIGINT:
        return parseBigInt(Buffer.from(data).toString("latin1"));
      case EXT_MAP: {
        const flat = decodeList(data);
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

const encoder = new Encoder<undefined>({ extensionCodec, ignoreUndefined: true });
const decoder = new Decoder<undefined>({ extensionCodec });

/**
 * Encodes a payload. Objects, arrays, strings, numbers, booleans, null, `Uint8Array`, Date, bigint, Map and Set
 * arrive as what they were; a property that is undefined is left out, and undefined itself is no bytes at all.
 * Throws `UNENCODABLE`, naming the path, for functions, symbols, class instances, invalid dates and cycles.
 * @returns bytes that are valid until the next call: copy or send them at once
 */
export function encodePayload(value: unknown): Uint8Array {
  if (value === undefined) return NOTHING;
  try {
    return encoder.encodeSharedRef(value);
  } catch (cause) {
    const { path, why } = findUnencodable(value, "value", []) ?? {
      path: "value",
      why: cause instanceof Error ? cause.message : String(cause),
    };
    throw new MeshError("UNENCODABLE", `${path} cannot travel: ${why}.`, { details: { path } });
  }
}

/** Decodes what {@link encodePayload} wrote. Throws `BAD_MESSAGE` for anything that is not exactly one value. */
export function decodePayload(bytes: Uint8Array): unknown {
  if (bytes.length === 0) return undefined;
  if (skim(bytes, 0, bytes.length) !== bytes.length) {
    throw new MeshError("BAD_MESSAGE", "There are bytes behind the payload's value.");
  }
  try {
    return decoder.decode(bytes);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new MeshError("BAD_MESSAGE", `The payload cannot be decoded: ${why}.`, { cause });
  }
}

function decodeList(data: Uint8Array): unknown[] {
  const list = decodePayload(data);
  if (!Array.isArray(list))
    throw new MeshError("BAD_MESSAGE", "A Map or Set is not written as one.");
  return list;
}

function parseBigInt(text: string): bigint {
  if (!/^-?[0-9a-f]+$/.test(text))
    throw new MeshError("BAD_MESSAGE", "A bigint is not written as one.");
  return text.startsWith("-") ? -BigInt(`0x${text.slice(1)}`) : BigInt(`0x${text}`);
}

function ascii(value: bigint): Uint8Array {
  return Buffer.from(value.toString(16), "latin1");
}

function isPlain(value: unknown): boolean {
  if (typeof value !== "object") return false;
  if (Array.isArray(value) || value instanceof Uint8Array) return true;
  const prototype: unknown = Object.getPrototypeOf(value);
  // The second test also admits plain objects of another realm (a vm context, a test runner).
  return (
    prototype === Object.prototype ||
    prototype === null ||
    Object.getPrototypeOf(prototype) === null
  );
}

/** Finds what made the encoder give up; runs only then. */
function findUnencodable(
  value: unknown,
  path: string,
  ancestors: readonly unknown[],
): { path: string; why: string } | undefined {
  if (
    value === null ||
    ["undefined", "boolean", "number", "string", "bigint"].includes(typeof value)
  ) {
    return undefined;
  }
  if (typeof value !== "object") return { path, why: `it is a ${typeof value}` };
  if (ancestors.includes(value)) return { path, why: "it contains itself" };
  if (ancestors.length >= 99) return { path, why: "it is nested deeper than 100 levels" };
  if (value instanceof Uint8Array) return undefined;
  if (value instanceof Date) {
    return Number.isNaN(value.getTime()) ? { path, why: "it is an invalid date" } : undefined;
  }
  const within = [...ancestors, value];
  const children: Iterable<readonly [string, unknown]> =
    value instanceof Map
      ? [...value].flatMap(([key, item]) => [
          [`${path}.key(${String(key)})`, key] as const,
          [`${path}.get(${String(key)})`, item] as const,
        ])
      : Array.isArray(value) || value instanceof Set
        ? [...(value as Iterable<unknown>)].map((item, i) => [`${path}[${i}]`, item] as const)
        : isPlain(value)
          ? Object.entries(value).map(([key, item]) => [`${path}.${key}`, item] as const)
          : [];
  for (const [childPath, child] of children) {
    const found = findUnencodable(child, childPath, within);
    if (found) return found;
  }
  if (isPlain(value) || value instanceof Map || value instanceof Set) return undefined;
  const name = (value.constructor as { name?: string } | undefined)?.name ?? "class";
  return { path, why: `it is an instance of ${name}; pass a plain object` };
}
