import type { Random } from "./clock.ts";

const BASE32 = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const LOW_LIMIT = 2 ** 25; // the five least significant characters, kept as a number so that a step is one addition

/**
 * Makes a generator of monotonic ULIDs (https://github.com/ulid/spec): 26 characters of Crockford base 32, 48 bits of
 * milliseconds and 80 of randomness, each greater than the one before, also within one millisecond or when the
 * clock steps back.
 */
export function createUlid(now: () => number, random: Random): () => string {
  let lastMs = -1;
  let prefix = ""; // 10 characters of time, 11 of randomness
  let low = 0;
  return () => {
    const ms = now();
    if (ms > lastMs || low >= LOW_LIMIT) {
      lastMs = Math.max(ms, low >= LOW_LIMIT ? lastMs + 1 : ms);
      prefix = encode(lastMs, 10) + randomText(random, 11);
      low = Math.floor(random() * (LOW_LIMIT / 2));
    }
    return prefix + encode(low++, 5);
  };
}

function encode(value: number, length: number): string {
  let text = "";
  for (let rest = value; text.length < length; rest = Math.floor(rest / 32)) {
    text = BASE32.charAt(rest % 32) + text;
  }
  return text;
}

function randomText(random: Random, length: number): string {
  let text = "";
  while (text.length < length) text += BASE32.charAt(Math.floor(random() * 32));
  return text;
}

/** The 128 bits of a ULID as 32 lower-case hexadecimal digits: the shape of a W3C trace id. */
export function ulidToHex(ulid: string): string {
  let bits = 0n;
  for (const char of ulid.slice(-26)) bits = (bits << 5n) | BigInt(Math.max(0, BASE32.indexOf(char)));
  return (bits & ((1n << 128n) - 1n)).toString(16).padStart(32, "0");
}
