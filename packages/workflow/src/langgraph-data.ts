import { MeshError } from "@plexus/core";

/** A LangChain message, as far as it matters here. */
interface Message {
  getType(): string;
  toDict(): { readonly data: Readonly<Record<string, unknown>> };
}

/**
 * What a LangGraph graph gives, as plain data that can travel. A LangChain message becomes its fields and its `type`, which graphs take
 * back: a `messages` channel makes a message of it again. Functions are left out; other instances give their `toJSON` or their own fields.
 * Throws `UNENCODABLE` for what contains itself.
 */
export function toPlain(value: unknown, around: readonly object[] = []): unknown {
  if (typeof value === "function" || typeof value === "symbol") return undefined;
  if (typeof value !== "object" || value === null) return value;
  if (value instanceof Date || value instanceof Uint8Array) return value;
  if (around.includes(value)) {
    throw new MeshError("UNENCODABLE", "The graph's state contains itself, which cannot travel.");
  }
  const inside = [...around, value];
  const plain = (part: unknown): unknown => toPlain(part, inside);
  if (Array.isArray(value)) return value.map(plain);
  if (value instanceof Map)
    return new Map([...value].map(([key, one]) => [plain(key), plain(one)]));
  if (value instanceof Set) return new Set([...value].map(plain));
  if (value instanceof Error) return { name: value.name, message: value.message };
  if (isMessage(value)) return { type: value.getType(), ...fieldsOf(value.toDict().data, plain) };
  if ("toJSON" in value && typeof value.toJSON === "function") return plain(value.toJSON());
  return fieldsOf(value, plain);
}

function isMessage(value: object): value is Message {
  return (
    "getType" in value &&
    typeof value.getType === "function" &&
    "toDict" in value &&
    typeof value.toDict === "function"
  );
}

function fieldsOf(value: object, plain: (part: unknown) => unknown): Record<string, unknown> {
  const fields = Object.entries(value).map(([key, part]) => [key, plain(part)] as const);
  return Object.fromEntries(fields.filter(([, part]) => part !== undefined));
}
