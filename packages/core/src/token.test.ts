import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { MeshError } from "./errors.ts";
import { escapeKey, token, unescapeKey } from "./token.ts";

/** Any UTF-16, halves of surrogate pairs included. */
const utf16Text = fc
  .array(fc.oneof(fc.nat(0x7f), fc.nat(0xffff), fc.integer({ min: 0xd800, max: 0xdfff })), {
    maxLength: 200,
  })
  .map((units) => String.fromCharCode(...units));

const anyKey = fc.oneof(
  utf16Text,
  fc.string({ maxLength: 200 }),
  fc.string({
    unit: fc.constantFrom("a", "=", "h", "0", "F", ".", "\uD800", "\uDC00", "\uFFFD"),
    maxLength: 140,
  }),
  fc.constantFrom(
    "",
    "=",
    "=0",
    "=h",
    "=3D",
    "=30",
    "0",
    "h",
    "*",
    ">",
    "a.b",
    " ",
    "\0",
    "%20",
    "__proto__",
  ),
);

describe("escapeKey", () => {
  test("makes one token that NATS takes as subject token and as KV key, of any key", () => {
    fc.assert(
      fc.property(anyKey, (key) => {
        const escaped = escapeKey(key);
        expect(escaped).toMatch(/^[A-Za-z0-9_=-]+$/);
        expect(escaped.length).toBeLessThanOrEqual(128);
      }),
      { numRuns: 5_000 },
    );
  });

  test("makes different tokens of different keys", () => {
    fc.assert(
      fc.property(anyKey, anyKey, (a, b) => {
        expect(escapeKey(a) === escapeKey(b)).toBe(a === b);
      }),
      { numRuns: 20_000 },
    );
  });

  test("makes different tokens of keys that look like tokens it makes", () => {
    fc.assert(
      fc.property(anyKey, (key) => {
        const once = escapeKey(key);
        expect(escapeKey(once) === once).toBe(once === key);
      }),
      { numRuns: 5_000 },
    );
  });

  test("is undone by unescapeKey, except for keys too long or no valid Unicode", () => {
    fc.assert(
      fc.property(anyKey, (key) => {
        const escaped = escapeKey(key);
        expect(unescapeKey(escaped)).toBe(escaped.startsWith("=h") ? undefined : key);
        const fits = key.isWellFormed() && key.length <= 14; // a character takes at most nine
        expect(fits && escaped.startsWith("=h")).toBe(false);
      }),
      { numRuns: 5_000 },
    );
  });

  test.each([
    ["AAPL", "AAPL"],
    ["order_7-b", "order_7-b"],
    ["BRK.B", "BRK=2EB"],
    ["a b", "a=20b"],
    ["*", "=2A"],
    [">", "=3E"],
    ["=", "=3D"],
    ["é", "=C3=A9"],
    ["😀", "=F0=9F=98=80"],
    ["", "=0"],
    ["=0", "=3D0"],
    ["=h", "=3Dh"],
    ["x".repeat(128), "x".repeat(128)],
  ])("%j becomes %j", (key, escaped) => {
    expect(escapeKey(key)).toBe(escaped);
  });

  test("hashes what would be longer than 128 characters, and tells such keys apart", () => {
    const long = [129, 130, 10_000].map((length) => escapeKey("x".repeat(length)));
    const escapes = escapeKey(".".repeat(43));
    for (const escaped of [...long, escapes]) expect(escaped).toMatch(/^=h[0-9a-f]{40}$/);
    expect(new Set([...long, escapes]).size).toBe(4);
    expect(escapeKey(".".repeat(42))).toHaveLength(126);
  });

  test("tells apart the halves of surrogate pairs, which UTF-8 cannot", () => {
    const keys = ["\uD800", "\uD801", "\uDC00", "\uFFFD", "a\uD800"];
    expect(new Set(keys.map(escapeKey)).size).toBe(keys.length);
  });
});

describe("unescapeKey", () => {
  test.each([
    "=",
    "=1",
    "=2e",
    "=2",
    "=zz",
    "=41",
    "=E2",
    "a.b",
    "=C3",
    "é",
    "x".repeat(129),
    "==",
    "=0=0",
  ])("%j was never made by escapeKey, so it has no key", (text) => {
    expect(unescapeKey(text)).toBeUndefined();
  });

  test("never throws and never gives two tokens the same key", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom("=", "0", "h", "4", "1", "C", "3", "A", "9", "a", ".") }),
        (text) => {
          const key = unescapeKey(text);
          expect(key === undefined ? text : escapeKey(key)).toBe(text);
        },
      ),
      { numRuns: 5_000 },
    );
  });
});

const refused = {
  code: "INVALID_CONTRACT",
  message: expect.stringMatching(/^Agent name .* is not a name/s) as string,
};

describe("token", () => {
  test.each(["a", "A9_-", "0", "-", "_", "constructor", "x".repeat(63)])("%j is a name", (name) => {
    expect(token("Name", name)).toBe(name);
  });

  test("every other text is refused, by a message that stays short", () => {
    const texts = [
      "",
      ".",
      "a.b",
      "a b",
      " a",
      "a\n",
      "\n",
      "*",
      ">",
      "a>",
      "é",
      "漢",
      "a\0",
      "a/b",
      "a=b",
      "$SYS",
    ];
    for (const name of [...texts, "x".repeat(64), "x".repeat(1_000_000), "__proto__"]) {
      expect(refusal(name)).toMatchObject(refused);
    }
  });

  test("everything that is no text is refused", () => {
    const others = [undefined, null, 5, 5n, Symbol("a"), {}, ["a"], Object.create(null), () => "a"];
    for (const name of others) {
      expect(refusal(name)).toMatchObject(refused);
    }
  });
});

function refusal(name: unknown): unknown {
  try {
    return token("Agent name", name as string);
  } catch (error) {
    return error instanceof MeshError && error.message.length < 300 ? error : "another error";
  }
}
