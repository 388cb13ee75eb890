import * as fc from "fast-check";
import { expect, test } from "vitest";
import { levelAt, perMinute, waitMs } from "./token-bucket.ts";

test("a rate allows two percent of a minute at once, and one at least", () => {
  expect(perMinute(600)).toEqual({ perMinute: 600, burst: 12 });
  expect(perMinute(6).burst).toBe(1);
});

test("no minute has more than 102 % of the rate, however greedy its takers", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 60, max: 6_000 }),
      fc.infiniteStream(fc.nat(500)),
      (count, gaps) => {
        const rate = perMinute(count);
        const taken: number[] = [];
        let bucket = { level: rate.burst, atMs: 0 };
        for (let now = 0; now < 90_000; now += gaps.next().value!) {
          let level = levelAt(rate, bucket, now);
          for (; waitMs(rate, level, 1) === 0; level--) taken.push(now);
          bucket = { level, atMs: now };
        }
        let first = 0;
        for (const [last, at] of taken.entries()) {
          while (taken[first]! <= at - 60_000) first++;
          expect(last - first + 1).toBeLessThanOrEqual(Math.ceil(count * 1.02) + 1);
        }
      },
    ),
    { numRuns: 50 },
  );
});

test("what is more than a full bucket is waited for like a full one, and paid back afterwards", () => {
  const rate = { perMinute: 600, burst: 12 };
  expect(waitMs(rate, 12, 100)).toBe(0);
  expect(waitMs(rate, -88, 1)).toBe(8_900);
  expect(levelAt(rate, { level: -88, atMs: 0 }, 8_900)).toBeCloseTo(1);
});
