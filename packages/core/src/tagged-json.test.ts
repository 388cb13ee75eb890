import { anything, assert, property } from "fast-check";
import { expect, test } from "vitest";
import { decodePayload, encodePayload } from "./codec.ts";
import { fromTaggedJson, toTaggedJson } from "./tagged-json.ts";

const over = (value: unknown): unknown =>
  fromTaggedJson(JSON.parse(JSON.stringify(toTaggedJson(value))));

test.each([
  [{ a: 1, b: "text", c: [true, null, 1.5] }],
  [new Uint8Array([0, 255, 7])],
  [new Date(1_700_000_000_123)],
  [-(2n ** 100n)],
  [[Number.NaN, Infinity, -Infinity, -0, 0]],
  [
    new Map<unknown, unknown>([
      [1, new Set(["x"])],
      [{ k: 1 }, undefined],
    ]),
  ],
  [{ $date: "not a date", other: 1 }],
  [{ $date: "not a date" }],
  [{ $object: [{ $bigint: 5n }] }],
  [undefined],
])("value %# survives JSON", (value) => {
  expect(over(value)).toStrictEqual(value);
});

test("whatever the codec carries survives JSON", () => {
  const values = anything({
    withBigInt: true,
    withDate: true,
    withMap: true,
    withSet: true,
    withTypedArray: false,
  });
  assert(
    property(values, (value) => {
      let carried: unknown;
      try {
        carried = decodePayload(encodePayload(value));
      } catch {
        return; // it cannot travel in the first place
      }
      expect(over(carried)).toStrictEqual(carried);
    }),
    { numRuns: 500 },
  );
});

test.each([[{ $what: 1 }], [{ $bigint: "x" }], [{ $date: "never" }], [{ $map: 1 }]])(
  "%j is no value",
  (json) => expect(() => fromTaggedJson(json)).toThrow(/Not a value/),
);
