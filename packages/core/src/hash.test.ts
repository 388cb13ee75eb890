import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { hash32 } from "./hash.ts";

const rotl = (x: number, r: number): number => (x << r) | (x >>> (32 - r));

/** MurmurHash3_x86_32 over bytes, written from Austin Appleby's reference. */
function murmur3(bytes: Uint8Array, seed: number): number {
  const c1 = 0xcc9e2d51;
  const c2 = 0x1b873593;
  let h = seed | 0;
  const blocks = bytes.length >> 2;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let i = 0; i < blocks; i++) {
    let k = view.getUint32(i * 4, true);
    k = Math.imul(k, c1);
    k = rotl(k, 15);
    k = Math.imul(k, c2);
    h ^= k;
    h = rotl(h, 13);
    h = (Math.imul(h, 5) + 0xe6546b64) | 0;
  }
  const tail = bytes.subarray(blocks * 4);
  let k = 0;
  if (tail.length >= 3) k ^= tail[2]! << 16;
  if (tail.length >= 2) k ^= tail[1]! << 8;
  if (tail.length >= 1) {
    k ^= tail[0]!;
    k = Math.imul(k, c1);
    k = rotl(k, 15);
    k = Math.imul(k, c2);
    h ^= k;
  }
  h ^= bytes.length;
  h ^= h >>> 16;
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** The text whose UTF-16LE bytes are these. */
const utf16 = (...bytes: number[]): string => Buffer.from(bytes).toString("utf16le");

/** Any UTF-16, halves of surrogate pairs included. */
const utf16Text = fc
  .array(fc.oneof(fc.nat(0x7f), fc.nat(0xffff), fc.integer({ min: 0xd800, max: 0xdfff })), {
    maxLength: 200,
  })
  .map((units) => String.fromCharCode(...units));

describe("hash32", () => {
  // Vectors published for MurmurHash3_x86_32, those of an even number of bytes.
  test.each([
    [[], 0, 0x00000000],
    [[], 1, 0x514e28b7],
    [[], 0xffffffff, 0x81f16f39],
    [[0, 0], 0, 0x30f4c306],
    [[0, 0, 0, 0], 0, 0x2362f9de],
    [[0xff, 0xff, 0xff, 0xff], 0, 0x76293b50],
    [[0x21, 0x43, 0x65, 0x87], 0, 0xf55b516b],
    [[0x21, 0x43, 0x65, 0x87], 0x5082edee, 0x2362f9de],
    [[0x21, 0x43], 0, 0xa0f7b07a],
    [[...Buffer.from("aaaa")], 0x9747b28c, 0x5a97808a],
    [[...Buffer.from("aa")], 0x9747b28c, 0x5d211726],
    [[...Buffer.from("abcd")], 0x9747b28c, 0xf0478627],
    [[...Buffer.from("ab")], 0x9747b28c, 0x74875592],
  ] as const)("matches the published vector of bytes %j with seed %i", (bytes, seed, expected) => {
    expect(murmur3(Uint8Array.from(bytes), seed)).toBe(expected);
    expect(hash32(utf16(...bytes), seed)).toBe(expected);
  });

  test("is MurmurHash3 of a text's UTF-16LE bytes, for any text and seed", () => {
    fc.assert(
      fc.property(utf16Text, fc.nat(0xffff_ffff), (text, seed) => {
        expect(hash32(text, seed)).toBe(murmur3(Buffer.from(text, "utf16le"), seed));
      }),
      { numRuns: 2_000 },
    );
  });

  test("never changes: shards depend on it", () => {
    expect(
      ["", "a", "AAPL", "position:AAPL", "漢字", "😀"].map((text) => hash32(text)),
    ).toStrictEqual([0, 1867108634, 818202742, 2977983392, 3162241253, 1443257913]);
  });

  test("spreads consecutive keys evenly over 64 partitions", () => {
    const counts = Array.from({ length: 64 }, () => 0);
    for (let i = 0; i < 64_000; i++) counts[hash32(`key-${i}`) % 64]!++;
    const chiSquare = counts.reduce((sum, count) => sum + (count - 1_000) ** 2 / 1_000, 0);
    expect(chiSquare).toBeLessThan(120); // 63 degrees of freedom: beyond it with a chance of 2 in 100,000
  });

  test("a changed character changes half of the bits", () => {
    let changed = 0;
    for (let i = 0; i < 10_000; i++) {
      let bits = hash32(`key-${i}a`) ^ hash32(`key-${i}b`);
      for (; bits !== 0; bits &= bits - 1) changed++;
    }
    expect(changed / 10_000).toBeGreaterThan(15);
    expect(changed / 10_000).toBeLessThan(17);
  });
});
