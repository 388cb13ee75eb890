import { MeshError } from "./errors.ts";
import { hash32 } from "./hash.ts";

const TOKEN = /^[A-Za-z0-9_-]{1,63}$/;
const PLAIN = /^[A-Za-z0-9_-]+$/;
const MAX_ESCAPED = 128;

/** Returns `value` if it is one token of the subject grammar (`[A-Za-z0-9_-]{1,63}`), else throws `INVALID_CONTRACT`. */
export function token(what: string, value: string): string {
  if (typeof value === "string" && TOKEN.test(value)) return value;
  throw new MeshError(
    "INVALID_CONTRACT",
    `${what} ${JSON.stringify(value) ?? String(value)} is not a name: use 1 to 63 of the characters A-Z a-z 0-9 _ -.`,
  );
}

/**
 * Turns any key a user supplies into exactly one subject token. Letters, digits, `_` and `-` stay readable, every
 * other UTF-8 byte becomes `=XX`; a key that would be longer than 128 characters becomes `=h` and a 128-bit hash.
 * Different keys give different tokens (for hashed ones, but for hash collisions).
 */
export function escapeKey(key: string): string {
  if (PLAIN.test(key) && key.length <= MAX_ESCAPED) return key;
  let escaped = "";
  for (const byte of Buffer.from(key, "utf8")) {
    const char = String.fromCharCode(byte);
    escaped += PLAIN.test(char) ? char : `=${byte.toString(16).toUpperCase().padStart(2, "0")}`;
    if (escaped.length > MAX_ESCAPED) return `=h${longHash(key)}`;
  }
  return escaped === "" ? "=0" : escaped;
}

/** The key that {@link escapeKey} made `escaped` of, or undefined for a hashed one. */
export function unescapeKey(escaped: string): string | undefined {
  if (escaped === "=0") return "";
  if (escaped.startsWith("=h")) return undefined;
  if (!escaped.includes("=")) return escaped;
  const bytes = escaped.replaceAll(/=([0-9A-F]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return Buffer.from(bytes, "latin1").toString("utf8");
}

function longHash(key: string): string {
  return [1, 2, 3, 4].map((seed) => hash32(key, seed).toString(16).padStart(8, "0")).join("");
}
