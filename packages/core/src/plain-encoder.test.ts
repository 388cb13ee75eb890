import { encode } from "@msgpack/msgpack";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { encodePlain } from "./plain-encoder.ts";

const reference = (value: unknown): Uint8Array => encode(value, { ignoreUndefined: true });

/** What the fast path wrote, which must be what the reference writes, or undefined when it left the value alone. */
function written(value: unknown): Uint8Array | undefined {
  const bytes = encodePlain(value);
  if (bytes === undefined) return undefined;
  const copy = Uint8Array.from(bytes);
  expect(copy).toStrictEqual(reference(value));
  return copy;
}

const text = fc.string({ unit: "grapheme", maxLength: 300 });
const leaf = fc.oneof(
  fc.constantFrom(null, undefined, true, false),
  fc.integer(),
  fc.maxSafeInteger(),
  fc.double(),
  text,
);
const { plain } = fc.letrec((tie) => ({
  plain: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    leaf,
    fc.array(tie("plain"), { maxLength: 20 }),
    fc.dictionary(
      text.filter((key) => key !== "__proto__"),
      tie("plain"),
      { maxKeys: 20, noNullPrototype: true },
    ),
  ),
}));

describe("encodePlain", () => {
  test("writes what the reference encoder writes", () => {
    fc.assert(
      fc.property(plain, (value) => {
        expect(written(value)).toBeDefined();
      }),
    );
  });

  test.each([0, 1, 15, 16, 17, 31, 32, 255, 256, 65_535, 65_536])("%i of anything", (count) => {
    expect(written("x".repeat(count))).toBeDefined();
    expect(written("é".repeat(count))).toBeDefined();
    const list = Array.from({ length: count }, (_, i) => i);
    const record = Object.fromEntries(list.map((i) => [`k${i}`, i]));
    expect(written(list) === undefined).toBe(count > 65_535);
    expect(written(record) === undefined).toBe(count > 65_535);
    expect(written({ ...record, hole: undefined }) === undefined).toBe(count > 65_535);
  });

  test("every width of numbers", () => {
    for (let bits = 0; bits < 54; bits++) {
      for (const value of [
        2 ** bits - 1,
        2 ** bits,
        -(2 ** bits),
        -(2 ** bits) - 1,
        2 ** bits + 0.5,
      ]) {
        expect(written(value)).toBeDefined();
      }
    }
  });

  test.each([
    ["a date", new Date(0)],
    ["a bigint", 1n],
    ["bytes", new Uint8Array(1)],
    ["a Map", new Map()],
    ["a class instance", new URL("plexus:point")],
    ["what inherits more than Object's methods", Object.create({ inherited: 1 })],
    ["half a surrogate pair", "\ud800"],
    ["half a surrogate pair behind much text", `${"x".repeat(100)}\udc00`],
    ["a function", () => {}],
    ["an own __proto__", JSON.parse('{"__proto__": 1}')],
    ["a null prototype", Object.create(null)],
  ])("leaves %s to the reference, wherever it stands", (_, value: unknown) => {
    expect(written(value)).toBeUndefined();
    expect(written([value])).toBeUndefined();
    expect(written({ a: 1, b: { c: value } })).toBeUndefined();
  });

  test("leaves what contains itself to the reference", () => {
    const loop: unknown[] = [];
    loop.push({ loop });
    expect(encodePlain(loop)).toBeUndefined();
  });
});
