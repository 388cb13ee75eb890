import { createHash } from "node:crypto";

/** SHA-256, in hexadecimal, of a value's canonical JSON: the order of an object's properties does not count. */
export function digest(value: unknown): string {
  return createHash("sha256").update(canonical(value)).digest("hex");
}

/** JSON with properties in the order of their names and without those that are undefined (as RFC 8785 orders them). */
export function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) => {
    if (typeof inner !== "object" || inner === null || Array.isArray(inner)) return inner;
    return Object.fromEntries(
      Object.entries(inner).toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)),
    );
  });
}
