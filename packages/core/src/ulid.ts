import type { Random } from "./clock.ts";

const BASE32 = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const LOW_LIMIT = 2 ** 25; // the five least significant characters, kept as a number so that a step is one addition
const LAST_TWO = Array.from({ length: 1024 }, (_, i) => encode(i, 2));

/**
 * Makes a generator of monotonic ULIDs (https://github.com/ulid/spec): 26 characters of Crockford base 32, 48 bits of
 * milliseconds and 80 of randomness, each greater than the one before, also within one millisecond or when the
 * clock steps back.
 * @param now milliseconds since the epoch
 */
export function createUlid(now: () => number, random: Random): () => string {
  let lastMs = -1;
  let prefix = ""; // 10 characters of time, 11 of randomness
  let low = LOW_LIMIT;
  let head = ""; // the prefix and the next three characters, the same for up to 1,024 ids in a row
  return () => {
    const ms = Math.floor(now());
    if (ms > lastMs || low === LOW_LIMIT) {
      lastMs = ms > lastMs ? ms : lastMs + 1;
      prefix = encode(lastMs, 10) + encode(draw(random, 6), 6) + encode(draw(random, 5), 5);
      low = Math.floor(random() * (LOW_LIMIT / 2));
      head = prefix + encode(low >>> 10, 3);
    } else if ((low & 1023) === 0) head = prefix + encode(low >>> 10, 3);
    return head + LAST_TWO[low++ & 1023]!;
  };
}

function encode(value: number, length: number): string {
  let text = "";
  for (let rest = value; text.length < length; rest = Math.floor(rest / 32)) {
    text = BASE32.charAt(rest % 32) + text;
  }
  return text;
}

/** A number of `length` random base 32 digits. */
function draw(random: Random, length: number): number {
  return Math.floor(random() * 32 ** length);
}

/** The ULID of 32 hexadecimal digits, such as the beginning of a hash: the inverse of {@link ulidToHex}. */
export function hexToUlid(hex: string): string {
  const high = Number.parseInt(hex.slice(0, 2), 16); // 8 of 128 bits; 130 are written
  let ulid = encode(high, 2);
  for (let i = 2; i < 32; i += 10) ulid += encode(Number.parseInt(hex.slice(i, i + 10), 16), 8);
  return ulid;
}

const DIGITS = Uint8Array.from({ length: 128 }, (_, code) =>
  Math.max(0, BASE32.indexOf(String.fromCharCode(code))),
);
const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

/** The 128 bits of a ULID as 32 lower-case hexadecimal digits: the shape of a W3C trace id. */
export function ulidToHex(ulid: string): string {
  let hex = "";
  let bits = 0;
  let held = -2; // 26 characters hold 130 bits; the two highest are not used
  for (let i = ulid.length - 26; i < ulid.length; i++) {
    bits = (bits << 5) | (DIGITS[ulid.charCodeAt(i)] ?? 0);
    held += 5;
    if (held < 8) continue;
    held -= 8;
    hex += HEX[(bits >> held) & 0xff]!;
  }
  return hex;
}
