import * as fc from "fast-check";
import { expect, test } from "vitest";
import { DEFAULT_BACKOFF, backoffMs, mayTryElsewhere } from "./retry.ts";

test("the ceiling of the back-off doubles from 20 ms up to two seconds", () => {
  const ceilings = [1, 2, 3, 7, 8, 9].map((attempt) =>
    backoffMs(DEFAULT_BACKOFF, attempt, () => 1),
  );
  expect(ceilings).toStrictEqual([20, 40, 80, 1_280, 2_000, 2_000]);
});

test("a wait is anywhere between nothing and the ceiling, also for attempts beyond counting", () => {
  const draw = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1e9 }), draw, (attempt, random) => {
      const wait = backoffMs(DEFAULT_BACKOFF, attempt, () => random);
      expect(wait).toBeGreaterThanOrEqual(0);
      expect(wait).toBeLessThanOrEqual(DEFAULT_BACKOFF.maxMs);
    }),
  );
});

test("what surely did not run may be tried elsewhere, what may have run only if it is idempotent", () => {
  expect(mayTryElsewhere("not_delivered", false)).toBe(true);
  expect(mayTryElsewhere("rejected", false)).toBe(true);
  expect(mayTryElsewhere("unknown", false)).toBe(false);
  expect(mayTryElsewhere("unknown", true)).toBe(true);
});
