import { runInNewContext } from "node:vm";
import { decode as plainDecode, encode as plainEncode } from "@msgpack/msgpack";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decodePayload, encodePayload } from "./codec.ts";
import { MeshError } from "./errors.ts";

/** What a receiver gets of `value`. Copied first, as a broker would. */
function sent(value: unknown): unknown {
  return decodePayload(Uint8Array.from(encodePayload(value)));
}

function refusal(value: unknown): MeshError {
  try {
    encodePayload(value);
  } catch (error) {
    if (error instanceof MeshError) return error;
    throw error;
  }
  throw new Error("It was encoded.");
}

function rejected(bytes: Uint8Array): MeshError {
  try {
    decodePayload(bytes);
  } catch (error) {
    if (error instanceof MeshError) return error;
    throw error;
  }
  throw new Error("It was decoded.");
}

const ext = (type: number, ...data: number[]): Uint8Array =>
  Uint8Array.of(0xc7, data.length, type, ...data);

/** Any UTF-16, halves of surrogate pairs included. */
const utf16Text = fc
  .array(fc.oneof(fc.nat(0x7f), fc.nat(0xffff), fc.integer({ min: 0xd800, max: 0xdfff })), {
    maxLength: 200,
  })
  .map((units) => String.fromCharCode(...units));

const number = fc.oneof(fc.integer(), fc.maxSafeInteger(), fc.double()).map((n) => n + 0); // no −0
const text = fc.string({ unit: "grapheme" });
const leaf = fc.oneof(
  fc.constant(null),
  fc.boolean(),
  number,
  text,
  fc.bigInt(),
  fc.date({ noInvalidDate: true }),
  fc.uint8Array(),
);
const { value: anyValue } = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    leaf,
    fc.array(tie("value"), { maxLength: 4 }),
    fc.dictionary(
      fc.string({ unit: "grapheme" }).filter((key) => key !== "__proto__"),
      tie("value"),
      { maxKeys: 4, noNullPrototype: true },
    ),
    fc.array(fc.tuple(tie("value"), tie("value")), { maxLength: 4 }).map((list) => new Map(list)),
    fc.array(tie("value"), { maxLength: 4 }).map((list) => new Set(list)),
  ),
}));

/** `levels` containers within each other, made by `wrap`. */
function nested(levels: number, wrap: (inner: unknown) => unknown): unknown {
  let value = wrap(1);
  for (let i = 1; i < levels; i++) value = wrap(value);
  return value;
}

describe("what arrives", () => {
  test("every value arrives as what it was, however Dates, bigints, bytes, Maps and Sets are nested", () => {
    fc.assert(
      fc.property(anyValue, (value) => {
        expect(sent(value)).toStrictEqual(value);
      }),
      { numRuns: 2_000 },
    );
  });

  test.each([
    ["NaN", Number.NaN],
    ["infinities", [Infinity, -Infinity]],
    ["the extremes of numbers", [Number.MAX_VALUE, Number.MIN_VALUE, 2 ** 53 - 1, -(2 ** 53) + 1]],
    ["dates before 1970 and after 2514", [new Date(-1), new Date(8.64e15), new Date(-8.64e15)]],
    ["bigints of any length and sign", [0n, -1n, 2n ** 64n, -(2n ** 4_000n)]],
    ["keys that objects inherit", { constructor: 1, toString: 2, hasOwnProperty: 3 }],
    [
      "a Map with keys of any type",
      new Map<unknown, unknown>([
        [[1], 2],
        [new Date(3), { a: 4n }],
      ]),
    ],
    ["empty containers", [{}, [], new Map(), new Set(), new Uint8Array(), ""]],
    [
      "an object with a thousand properties",
      Object.fromEntries(Array.from({ length: 1_000 }, (_, i) => [`p${i}`, i])),
    ],
    ["undefined by itself", undefined],
    ["null by itself", null],
  ])("%s", (_, value) => {
    expect(sent(value)).toStrictEqual(value);
  });

  test("texts of a megabyte and of every length around the encoder's thresholds arrive", () => {
    expect(sent("é".repeat(1 << 20))).toBe("é".repeat(1 << 20));
    for (const unit of ["x", "é", "漢", "😀"]) {
      for (const length of [31, 32, 50, 51, 200, 201, 255, 256, 65_535, 65_536]) {
        const value = [unit.repeat(length), length];
        expect(sent(value)).toStrictEqual(value);
      }
    }
  });

  test("an object without a prototype and one of another realm arrive as plain objects", () => {
    expect(sent(Object.assign(Object.create(null) as object, { a: 1 }))).toStrictEqual({ a: 1 });
    expect(sent(runInNewContext("({ a: { b: 1 } })"))).toStrictEqual({ a: { b: 1 } });
  });

  test("a Buffer arrives as a Uint8Array, also out of a received Buffer", () => {
    const bytes = decodePayload(Buffer.from(encodePayload(Buffer.from("abc"))));
    expect(bytes).toStrictEqual(Uint8Array.of(97, 98, 99));
    expect(Buffer.isBuffer(bytes)).toBe(false);
  });

  test("bytes in a decoded value are a view of the message", () => {
    const message = Uint8Array.from(encodePayload({ bytes: Uint8Array.of(1, 2, 3) }));
    const { bytes } = decodePayload(message) as { bytes: Uint8Array };
    expect(bytes.buffer).toBe(message.buffer);
  });
});

describe("what changes on the way", () => {
  test("a property that is undefined is left out", () => {
    expect(sent({ a: undefined, b: 1 })).toStrictEqual({ b: 1 });
  });

  test("undefined in an array, a Map or a Set becomes null", () => {
    expect(sent([undefined, 1])).toStrictEqual([null, 1]);
    expect(sent(new Map([["a", undefined]]))).toStrictEqual(new Map([["a", null]]));
    expect(sent(new Set([undefined]))).toStrictEqual(new Set([null]));
  });

  test("−0 becomes 0", () => {
    expect(Object.is(sent(-0), 0)).toBe(true);
  });

  test("half of a surrogate pair may become U+FFFD, and nothing beside it changes", () => {
    fc.assert(
      fc.property(utf16Text, fc.string({ unit: "grapheme" }), (odd, sound) => {
        const [gotOdd, gotSound] = sent([odd, sound]) as [string, string];
        expect(gotSound).toBe(sound);
        expect(gotOdd.toWellFormed().replaceAll(/\uFFFD+/g, "?")).toBe(
          odd.toWellFormed().replaceAll(/\uFFFD+/g, "?"),
        );
      }),
    );
  });

  test("a byte order mark at the beginning of a text of more than 200 bytes is lost beside a Date, Map, Set, bigint or binary", () => {
    const marked = `\uFEFF${"x".repeat(198)}`;
    expect(sent(marked)).toBe(marked);
    expect(sent([marked, 1n])).toEqual(["x".repeat(198), 1n]);
  });
});

class Position {
  symbol = "AAPL";
}

const loop: Record<string, unknown> = {};
loop["self"] = { again: loop };
const mapLoop = new Map<string, unknown>();
mapLoop.set("self", [mapLoop]);
const setLoop = new Set<unknown>();
setLoop.add({ deep: setLoop });

describe("what cannot travel is UNENCODABLE and the message names the path", () => {
  test.each<[string, unknown, string, RegExp]>([
    ["a function", { a: [1, () => 1] }, "value.a[1]", /function/],
    ["a function by itself", () => 1, "value", /function/],
    ["a symbol", { a: Symbol("s") }, "value.a", /symbol/],
    ["a class instance", { p: new Position() }, "value.p", /instance of Position.*plain object/],
    ["a boxed primitive", { s: Object("x") as unknown }, "value.s", /instance of String/],
    ["an error", [new RangeError("x")], "value[0]", /RangeError/],
    ["a promise", { p: Promise.resolve(1) }, "value.p", /Promise/],
    ["a typed array other than bytes", { f: new Float64Array(1) }, "value.f", /Float64Array/],
    ["an invalid date", { at: new Date(Number.NaN) }, "value.at", /invalid date/],
    ["a cycle of objects", loop, "value.self.again", /contains itself/],
    ["a cycle through a Map", mapLoop, 'value.get("self")[0]', /contains itself/],
    ["a cycle through a Set", setLoop, "value[0].deep", /contains itself/],
    ["a function in a Map", new Map([["k", () => 1]]), 'value.get("k")', /function/],
    ["a symbol as a Map's key", new Map([[Symbol("s"), 1]]), "value.key(Symbol(s))", /symbol/],
    [
      "a Map's key without a prototype",
      new Map([[Object.assign(Object.create(null) as object, { f: Symbol("s") }), 1]]),
      "value.key([Object: null prototype] { f: Symbol(s) }).f",
      /symbol/,
    ],
    [
      "a property called __proto__",
      { a: JSON.parse('{"__proto__":1}') as unknown },
      "value.a",
      /__proto__/,
    ],
    [
      "an anonymous class's instance",
      {
        a: new (class {
          x = 1;
        })(),
      },
      "value.a",
      /instance of/,
    ],
    [
      "an instance whose constructor is no function",
      { a: Object.create({ constructor: 1, x: 1 }) as unknown },
      "value.a",
      /instance of a class/,
    ],
  ])("%s", (_, value, path, why) => {
    const error = refusal(value);
    expect(error.code).toBe("UNENCODABLE");
    expect(error.details).toStrictEqual({ path });
    expect(error.message).toMatch(why);
    expect(error.message).toContain(path);
  });

  test("what is nested deeper than 100 levels", () => {
    expect(sent(nested(99, (inner) => [inner]))).toStrictEqual(nested(99, (inner) => [inner]));
    for (const wrap of [
      (inner: unknown): unknown => [inner],
      (inner: unknown): unknown => ({ a: inner }),
      (inner: unknown): unknown => new Map([["a", inner]]),
      (inner: unknown): unknown => new Set([inner]),
      (inner: unknown): unknown => new Map([[inner, 1]]),
    ]) {
      expect(refusal(nested(101, wrap)).message).toMatch(/nested deeper than 100 levels/);
      expect(refusal(nested(20_000, wrap)).code).toBe("UNENCODABLE");
    }
  });

  test("a getter that throws", () => {
    const error = refusal({
      get broken(): number {
        throw new RangeError("no such column");
      },
    });
    expect(error.code).toBe("UNENCODABLE");
    expect(error.message).toMatch(/no such column/);
  });

  test("the same object twice is no cycle", () => {
    const shared = { a: 1 };
    expect(sent([shared, shared, new Map([[shared, shared]])])).toStrictEqual([
      shared,
      shared,
      new Map([[shared, shared]]),
    ]);
  });
});

describe("the encoder's state", () => {
  test("a failure leaves nothing behind, wherever it happened", () => {
    fc.assert(
      fc.property(
        anyValue,
        fc.constantFrom(Symbol("s"), () => 1, new Position(), mapLoop),
        (value, stop) => {
          const expected = Uint8Array.from(encodePayload(value));
          const bad = [value, new Map([[value, new Set([value, { stop }])]]), value];
          expect(refusal(bad).code).toBe("UNENCODABLE");
          expect(Uint8Array.from(encodePayload(value))).toStrictEqual(expected);
        },
      ),
      { numRuns: 300 },
    );
  });

  test("bytes are valid until the next call, which may overwrite them", () => {
    const first = encodePayload("first");
    const kept = Uint8Array.from(first);
    expect(first).toStrictEqual(kept);
    encodePayload("other");
    expect(first).not.toStrictEqual(kept);
    expect(decodePayload(kept)).toBe("first");
  });

  test("a getter may encode something itself", () => {
    let inner: unknown;
    const value = {
      before: [1, 2],
      get used(): string {
        inner = sent({ a: new Map([[1, new Set([2])]]) });
        return "yes";
      },
      after: new Set(["x"]),
    };
    expect(sent(value)).toStrictEqual({ before: [1, 2], used: "yes", after: new Set(["x"]) });
    expect(inner).toStrictEqual({ a: new Map([[1, new Set([2])]]) });
  });

  test("a large value does not keep its buffer", () => {
    expect(encodePayload("x".repeat(4 << 20)).buffer.byteLength).toBeGreaterThan(4 << 20);
    expect(encodePayload("x").buffer.byteLength).toBeLessThan(1 << 16);
  });
});

describe("the bytes", () => {
  test("plain MessagePack of any other writer is read", () => {
    const value = { a: [1, -1, 1.5, "x", null, true], b: { c: Uint8Array.of(1) }, at: new Date(5) };
    expect(decodePayload(plainEncode(value))).toStrictEqual(value);
  });

  test("what JSON can hold is plain MessagePack, and so is a Date", () => {
    fc.assert(
      fc.property(
        fc.json().filter((json) => !json.includes('"__proto__"')),
        fc.date({ noInvalidDate: true }),
        (json, date) => {
          const value: unknown = JSON.parse(json);
          const message = Uint8Array.from(encodePayload([value, date]));
          expect(plainDecode(message)).toEqual([value, date]);
        },
      ),
    );
  });

  test("no bytes at all are undefined", () => {
    expect(encodePayload(undefined)).toHaveLength(0);
    expect(decodePayload(new Uint8Array())).toBeUndefined();
  });

  test("an extension of somebody else is handed on as it is", () => {
    expect(decodePayload(Uint8Array.of(0xd4, 42, 7))).toMatchObject({
      type: 42,
      data: Uint8Array.of(7),
    });
  });

  test.each<[string, Uint8Array]>([
    ["two values", Uint8Array.of(1, 2)],
    ["a truncated value", Uint8Array.of(0x92, 1)],
    ["the byte that MessagePack reserves", Uint8Array.of(0xc1)],
    [
      "an object with a property called __proto__",
      plainEncode(JSON.parse('{"__proto__":{"a":1}}')),
    ],
    ["an object with an array as a key", Uint8Array.of(0x81, 0x90, 1)],
    ["a Map whose last key has no value", ext(2, 0x91, 1)],
    ["a Map that is no list", ext(2, 1)],
    ["a Map of nothing", ext(2)],
    ["a Set that is no list", ext(3, 0x80)],
    ["a Set with bytes behind it", ext(3, 0x90, 0x90)],
    ["a Set that ends too early", ext(3, 0x91)],
    ["a bigint that is no number", ext(1, 0x78)],
    ["a bigint of nothing", ext(1)],
    ["a date of a size that does not exist", ext(0xff, 1, 2, 3)],
    ["a date out of range", ext(0xff, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)],
  ])("%s is BAD_MESSAGE", (_, bytes) => {
    expect(rejected(bytes).code).toBe("BAD_MESSAGE");
    expect(decodePayload(Uint8Array.of(5))).toBe(5);
  });

  test("hostile nesting of Sets, a hundred thousand deep, is BAD_MESSAGE and breaks nothing", () => {
    const depth = 100_000;
    const message = new Uint8Array(depth * 7 + 1);
    const view = new DataView(message.buffer);
    for (let i = 0; i < depth; i++) {
      view.setUint8(i * 7, 0xc9); // ext 32
      view.setUint32(i * 7 + 1, (depth - i - 1) * 7 + 2);
      view.setUint8(i * 7 + 5, 3);
      view.setUint8(i * 7 + 6, 0x91);
    }
    view.setUint8(depth * 7, 1);
    expect(rejected(message).code).toBe("BAD_MESSAGE");
    expect(sent(new Set([new Set([1])]))).toStrictEqual(new Set([new Set([1])]));
  });
});
