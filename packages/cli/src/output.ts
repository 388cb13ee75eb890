import { inspect, stripVTControlCharacters, styleText } from "node:util";

/** Text in a colour, unless stdout is no terminal or NO_COLOR is set. */
export function paint(format: Parameters<typeof styleText>[0], text: string): string {
  return styleText(format, text, { stream: process.stdout });
}

/** One line on stdout. */
export function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** One value as one line of JSON on stdout. */
export function printJson(value: unknown): void {
  print(JSON.stringify(toJson(value)) ?? "null");
}

/** One line about what goes on, on stderr. */
export function note(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** What somebody else has written, on one line and without power over the terminal. */
export function oneLine(text: string): string {
  return harmless(text).replaceAll("\n", "\\n").replaceAll("\t", "\\x09");
}

/** What somebody else has written, with its lines and tabs, and without power over the terminal. */
export function harmless(text: string): string {
  // oxlint-disable-next-line no-control-regex -- that is what it is about
  return text.replaceAll(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, (char) => {
    return `\\x${char.codePointAt(0)!.toString(16).padStart(2, "0")}`;
  });
}

function width(cell: string): number {
  return stripVTControlCharacters(cell).length;
}

/** Columns padded to their widest cell. Cells may be painted. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const painted = header.map((cell) => paint("dim", cell));
  const widths = header.map((_, column) =>
    Math.max(...[header, ...rows].map((row) => width(row[column] ?? ""))),
  );
  return [painted, ...rows].map((row) =>
    row
      .map((cell, column) => cell + " ".repeat(widths[column]! - width(cell)))
      .join("  ")
      .trimEnd(),
  );
}

/**
 * A decoded payload as JSON can have it: bigint as decimal string, Date as ISO string, binary as base64, Set as array, Map
 * as object, or as array of pairs when a key is no string.
 */
export function toJson(value: unknown): unknown {
  if (typeof value === "bigint") return value.toString();
  if (typeof value !== "object" || value === null) return value;
  if (value instanceof Date) return value.toISOString();
  if (value instanceof Uint8Array) return Buffer.from(value).toString("base64");
  if (value instanceof Set) return [...value].map(toJson);
  if (value instanceof Map) {
    const pairs = [...value].map(([key, item]) => [key as unknown, toJson(item)] as const);
    const plain = pairs.every(([key]) => typeof key === "string");
    return plain
      ? Object.fromEntries(pairs as [string, unknown][])
      : pairs.map(([key, item]) => [toJson(key), item]);
  }
  if (Array.isArray(value)) return value.map(toJson);
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, toJson(item)]));
}

/** A decoded payload for a person: text as it is, everything else as JavaScript would write it. */
export function toText(value: unknown): string {
  return typeof value === "string" ? value : show(value, { compact: 3, breakLength: 100 });
}

/** A decoded payload on one line. */
export function toLine(value: unknown): string {
  return value === undefined ? "" : show(value, { compact: true, breakLength: Infinity });
}

/** The beginning of a text, as long as a line of a terminal. */
export function shorten(text: string, length = 100): string {
  return text.length > length ? `${text.slice(0, length - 1)}…` : text;
}

function show(value: unknown, layout: { compact: boolean | number; breakLength: number }): string {
  const colors = paint("green", "x") !== "x";
  return inspect(asBuffers(value), { ...layout, colors, depth: 20, maxStringLength: 10_000 });
}

/** Buffers print as hex, and only their first bytes. */
function asBuffers(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.length);
  if (Array.isArray(value)) return value.map(asBuffers);
  if (value instanceof Map) return new Map([...value].map(([key, item]) => [key, asBuffers(item)]));
  if (
    typeof value !== "object" ||
    value === null ||
    Object.getPrototypeOf(value) !== Object.prototype
  )
    return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, asBuffers(item)]));
}

/** `93784` (seconds) to `1d 2h`: the two largest units. */
export function uptime(seconds: number): string {
  const units = [
    ["d", 86_400],
    ["h", 3_600],
    ["m", 60],
    ["s", 1],
  ] as const;
  const whole = Math.max(0, Math.floor(seconds));
  const first = units.findIndex(([, size]) => whole >= size);
  if (first < 0) return "0s";
  let left = whole;
  const parts: string[] = [];
  for (const [unit, size] of units.slice(first, first + 2)) {
    const amount = Math.floor(left / size);
    left -= amount * size;
    if (amount > 0) parts.push(`${amount}${unit}`);
  }
  return parts.join(" ");
}
