import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createUlid, ulidToHex } from "./ulid.ts";

/** Any UTF-16, halves of surrogate pairs included. */
const utf16Text = fc
  .array(fc.oneof(fc.nat(0x7f), fc.nat(0xffff), fc.integer({ min: 0xd800, max: 0xdfff })), {
    maxLength: 200,
  })
  .map((units) => String.fromCharCode(...units));

const SHAPE = /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/;
const BASE32 = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

const threeIds = (): string[] => {
  const ulid = createUlid(
    () => 5,
    () => 0.25,
  );
  return [ulid(), ulid(), ulid()];
};

function timeOf(ulid: string): number {
  let ms = 0;
  for (const char of ulid.slice(0, 10)) ms = ms * 32 + BASE32.indexOf(char);
  return ms;
}

describe("createUlid", () => {
  test("makes 26 characters of Crockford base 32 that begin with the time", () => {
    const ulid = createUlid(() => 1_469_918_176_385, Math.random);
    for (let i = 0; i < 1_000; i++) {
      const id = ulid();
      expect(id).toMatch(SHAPE);
      expect(id.slice(0, 10)).toBe("01ARYZ6S41"); // the specification's example
    }
  });

  test("reaches the last millisecond the specification knows", () => {
    expect(createUlid(() => 2 ** 48 - 1, Math.random)().slice(0, 10)).toBe("7ZZZZZZZZZ");
  });

  test("each is greater than the one before, whatever the clock does", () => {
    const clock = fc.array(
      fc.oneof(
        fc.integer({ min: -3, max: 3 }),
        fc.integer({ min: -1e9, max: 1e9 }),
        fc.double({ min: -2, max: 2, noNaN: true }),
      ),
      { minLength: 50 },
    );
    fc.assert(
      fc.property(
        clock,
        fc.infiniteStream(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })),
        (steps, draws) => {
          let now = 1.7e12;
          const random = (): number => draws.next().value as number;
          const ulid = createUlid(() => now, random);
          let last = "";
          for (const step of steps) {
            now += step;
            const id = ulid();
            expect(id).toMatch(SHAPE);
            expect(id > last, `${id} > ${last}`).toBe(true);
            last = id;
          }
        },
      ),
    );
  });

  test("a million within one millisecond are unique and in order", () => {
    const ulid = createUlid(() => 1.7e12, Math.random);
    let last = "";
    let count = 0;
    for (let i = 0; i < 1_000_000; i++) {
      const id = ulid();
      if (id > last && id.length === 26) count++;
      last = id;
    }
    expect(count).toBe(1_000_000);
  });

  test("two hundred thousand of four processes that share a clock are unique", () => {
    const seen = new Set<string>();
    let now = 1.7e12;
    const processes = Array.from({ length: 4 }, () => createUlid(() => now, Math.random));
    for (let i = 0; i < 50_000; i++) {
      if (i % 100 === 0) now++;
      for (const ulid of processes) seen.add(ulid());
    }
    expect(seen.size).toBe(200_000);
  });

  test("when a millisecond's numbers run out, it borrows from the next one", () => {
    const ulid = createUlid(
      () => 1.7e12,
      () => 1 - Number.EPSILON,
    );
    const first = ulid();
    for (let i = 0; i < 2 ** 24 - 5; i++) ulid();
    const around = Array.from({ length: 12 }, () => ulid());
    expect(around).toStrictEqual([...new Set(around)].toSorted());
    expect(around.every((id) => id > first && SHAPE.test(id))).toBe(true);
    expect(around.map((id) => timeOf(id) - 1.7e12)).toStrictEqual([
      0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1,
    ]);
  });

  test("fresh randomness in every millisecond", () => {
    let now = 0;
    const ulid = createUlid(() => now, Math.random);
    const tails = new Set(Array.from({ length: 1_000 }, () => (now++, ulid().slice(10, 21))));
    expect(tails.size).toBe(1_000);
  });

  test("the same clock and randomness make the same ids", () => {
    expect(threeIds()).toStrictEqual(threeIds());
  });
});

describe("ulidToHex", () => {
  test("gives the 128 bits as 32 hexadecimal digits", () => {
    expect(ulidToHex("01ARZ3NDEKTSV4RRFFQ69G5FAV")).toBe("01563e3ab5d3d6764c61efb99302bd5b");
    expect(ulidToHex("00000000000000000000000000")).toBe("0".repeat(32));
    expect(ulidToHex("7ZZZZZZZZZZZZZZZZZZZZZZZZZ")).toBe("f".repeat(32));
  });

  test("keeps the order of ids", () => {
    const ulid = createUlid(Date.now, Math.random);
    const ids = Array.from({ length: 100 }, ulid);
    expect(ids.map(ulidToHex).toSorted()).toStrictEqual(ids.map(ulidToHex));
  });

  test("always has the shape of a trace id, whatever text it is given", () => {
    fc.assert(
      fc.property(utf16Text, (text) => {
        expect(ulidToHex(text)).toMatch(/^[0-9a-f]{32}$/);
      }),
    );
  });
});
