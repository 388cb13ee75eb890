import { Decoder, encode } from "@msgpack/msgpack";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import { NOT_PLAIN, decodePlain } from "./plain-decoder.ts";

const plainValue = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 5 },
    fc.constant(null),
    fc.boolean(),
    fc.nat(),
    fc.integer({ min: -32, max: 0 }),
    fc.maxSafeInteger().map(Math.abs),
    fc.double(),
    fc.string({ unit: "binary", maxLength: 300 }),
    fc.array(tie("value"), { maxLength: 40 }),
    fc.dictionary(fc.string({ maxLength: 12 }), tie("value"), {
      maxKeys: 20,
      noNullPrototype: true,
    }),
  ),
})).value;

/** What both decoders make of the bytes, if the plain one takes them on; equal lists mean that they agree. */
function both(bytes: Uint8Array): { plain: unknown; reference: unknown } {
  const plain = decodePlain(bytes);
  if (plain === NOT_PLAIN) return { plain, reference: NOT_PLAIN };
  try {
    return { plain, reference: new Decoder().decode(bytes) };
  } catch (error) {
    return { plain, reference: error };
  }
}

describe("decodePlain", () => {
  it("gives what the reference decoder gives, or leaves the bytes to it", () => {
    fc.assert(
      fc.property(plainValue, (value) => {
        const { plain, reference } = both(encode(value));
        expect(plain).toStrictEqual(reference);
      }),
      { numRuns: 1_000 },
    );
  });

  it("takes on the usual payload itself", () => {
    const value = {
      id: "sig-1",
      price: 18_923,
      at: 1_712_345_678_901_234,
      confidence: 0.87,
      tags: ["momentum", "größer", "日本"],
      nested: { none: null, yes: true, low: -7 },
    };
    expect(decodePlain(encode(value))).toStrictEqual(value);
  });

  it("never accepts what the reference decoder refuses, nor reads it differently", () => {
    const flips = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 });
    fc.assert(
      fc.property(plainValue, flips, fc.nat(), (value, damage, cut) => {
        const bytes = encode(value);
        for (const [position, byte] of damage) bytes[position % bytes.length] = byte;
        const { plain, reference } = both(
          cut % 3 === 0 ? bytes.subarray(0, cut % (bytes.length + 1)) : bytes,
        );
        // Bytes that are not UTF-8 are no text in either; each stands for them in its own way.
        fc.pre(!(JSON.stringify(plain) ?? "").includes("\ufffd"));
        expect(plain).toStrictEqual(reference);
      }),
      { numRuns: 5_000 },
    );
  });

  it.each([
    ["a date", encode(new Date())],
    ["bytes", encode(new Uint8Array(3))],
    ["nothing", new Uint8Array(0)],
    ["half a number", Uint8Array.of(0xcd, 1)],
    ["half a text", Uint8Array.of(0xd9)],
    ["a list of four billion", Uint8Array.of(0xdd, 0xff, 0xff, 0xff, 0xff)],
    ["a list longer than the message", Uint8Array.of(0xdc, 0xff, 0xff, 0)],
    ["a hundred lists in each other", new Uint8Array(101).fill(0x91)],
    ["a value and a half", Uint8Array.of(1, 2)],
    ["the key __proto__", encode(JSON.parse('{"__proto__":1}'))],
  ])("leaves %s to the reference decoder", (_name, bytes) => {
    expect(decodePlain(bytes)).toBe(NOT_PLAIN);
  });
});
