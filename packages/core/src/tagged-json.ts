import { MeshError } from "./errors.ts";

/**
 * A payload as JSON that loses nothing: what JSON does not have stands in an object with one key that begins with `$`.
 * `{ $bytes: base64 }`, `{ $date: ISO }`, `{ $bigint: decimal }`, `{ $number: "NaN" | "Infinity" | "-Infinity" | "-0" }`, `{ $map: [[key, value], …] }`,
 * `{ $set: […] }`, `{ $undefined: true }`, and `{ $object: [[key, value], …] }` for an object that would look like one of these.
 */
export function toTaggedJson(value: unknown): unknown {
  if (value === undefined) return { $undefined: true };
  if (typeof value === "bigint") return { $bigint: value.toString() };
  if (typeof value === "number") {
    const plain = Number.isFinite(value) && !Object.is(value, -0);
    return plain ? value : { $number: Object.is(value, -0) ? "-0" : String(value) };
  }
  if (typeof value !== "object" || value === null) return value;
  if (value instanceof Uint8Array) {
    return { $bytes: Buffer.from(value.buffer, value.byteOffset, value.length).toString("base64") };
  }
  if (value instanceof Date) return { $date: value.toISOString() };
  if (value instanceof Map) return { $map: pairs(value as Map<unknown, unknown>) };
  if (value instanceof Set) return { $set: [...(value as Set<unknown>)].map(toTaggedJson) };
  if (Array.isArray(value)) return value.map(toTaggedJson);
  const entries = Object.entries(value);
  if (entries.length === 1 && entries[0]![0].startsWith("$")) return { $object: pairs(entries) };
  return Object.fromEntries(entries.map(([key, item]) => [key, toTaggedJson(item)]));
}

/** The inverse of {@link toTaggedJson}. Throws `BAD_MESSAGE` for a tag that is none. */
export function fromTaggedJson(json: unknown): unknown {
  if (typeof json !== "object" || json === null) return json;
  if (Array.isArray(json)) return json.map(fromTaggedJson);
  const entries = Object.entries(json);
  const [only] = entries;
  if (entries.length !== 1 || only === undefined || !only[0].startsWith("$")) {
    return Object.fromEntries(entries.map(([key, item]) => [key, fromTaggedJson(item)]));
  }
  const [tag, content] = only as [string, unknown];
  try {
    switch (tag) {
      case "$undefined":
        return undefined;
      case "$bigint":
        return BigInt(content as string);
      case "$number":
        return Number(content);
      case "$bytes":
        return new Uint8Array(Buffer.from(content as string, "base64"));
      case "$date":
        return new Date(new Date(content as string).toISOString()); // throws if it is none
      case "$map":
        return new Map(unpaired(content));
      case "$set":
        return new Set((content as unknown[]).map(fromTaggedJson));
      case "$object":
        return Object.fromEntries(unpaired(content));
      default:
        throw new TypeError("unknown");
    }
  } catch (cause) {
    throw new MeshError("BAD_MESSAGE", `Not a value: ${tag} with something else in it.`, { cause });
  }
}

function pairs(entries: Iterable<readonly [unknown, unknown]>): unknown[] {
  return [...entries].map(([key, item]) => [toTaggedJson(key), toTaggedJson(item)]);
}

function unpaired(content: unknown): [string, unknown][] {
  return (content as [unknown, unknown][]).map(([key, item]) => [
    fromTaggedJson(key) as string,
    fromTaggedJson(item),
  ]);
}
