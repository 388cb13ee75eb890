import { createHash } from "node:crypto";
import { MeshError, quote } from "./errors.ts";

const TOKEN = /^[A-Za-z0-9_-]{1,63}$/;
const PLAIN = /^[A-Za-z0-9_-]+$/;
const MAX_ESCAPED = 128;
const ESCAPED = Array.from({ length: 256 }, (_, byte) => {
  const char = String.fromCharCode(byte);
  return PLAIN.test(char) ? char : `=${byte.toString(16).toUpperCase().padStart(2, "0")}`;
});

/**
 * Returns `value` if it is one token of the subject grammar (`[A-Za-z0-9_-]{1,63}`), else throws `INVALID_CONTRACT`.
 * `__proto__` is none: names become property names, and that one is not an ordinary one.
 */
export function token(what: string, value: string): string {
  if (isToken(value)) return value;
  throw new MeshError(
    "INVALID_CONTRACT",
    `${what} ${quote(value)} is not a name: use 1 to 63 of the characters A-Z a-z 0-9 _ -.`,
  );
}

/** True for what {@link token} returns. */
export function isToken(value: unknown): value is string {
  return typeof value === "string" && TOKEN.test(value) && value !== "__proto__";
}

/**
 * Turns any key a user supplies into exactly one subject token. Letters, digits, `_` and `-` stay readable, every
 * other UTF-8 byte becomes `=XX`, the empty key `=0`. A key that would be longer than `limit` characters (128, and never
 * more), or that UTF-8 cannot hold (half of a surrogate pair), becomes `=h` and 160 bits of its SHA-256: 42 characters.
 * Different keys give different tokens, as long as nobody finds a SHA-256 collision.
 */
export function escapeKey(key: string, limit: number = MAX_ESCAPED): string {
  const most = Math.min(limit, MAX_ESCAPED);
  if (PLAIN.test(key) && key.length <= most) return key;
  if (key === "") return "=0";
  if (key.length > most || !key.isWellFormed()) return hashed(key);
  let escaped = "";
  for (const byte of Buffer.from(key, "utf8")) escaped += ESCAPED[byte]!;
  return escaped.length > most ? hashed(key) : escaped;
}

/** The key that {@link escapeKey} made `escaped` of; undefined for a hashed one and for what escapeKey never makes. */
export function unescapeKey(escaped: string): string | undefined {
  if (escaped === "=0") return "";
  const bytes = escaped.replaceAll(/=([0-9A-F]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  const key = Buffer.from(bytes, "latin1").toString("utf8");
  return escapeKey(key) === escaped ? key : undefined;
}

function hashed(key: string): string {
  return `=h${createHash("sha256").update(key, "utf16le").digest("hex").slice(0, 40)}`;
}
