import * as fc from "fast-check";
import { expect, test } from "vitest";
import { Latency, LatencyCounts, mergeLatencies } from "./latency.ts";

const durations = fc.array(fc.integer({ min: 0, max: 60_000_000 }), {
  minLength: 1,
  maxLength: 300,
});

test("quantiles are within the width of a bucket of the exact ones", () => {
  fc.assert(
    fc.property(durations, (values) => {
      const latency = new Latency();
      for (const value of values) latency.observe(value);
      const sorted = values.toSorted((a, b) => a - b);
      const { count, mean, p50, p99, max } = latency.summary();
      expect(count).toBe(values.length);
      expect(mean).toBeCloseTo(values.reduce((sum, value) => sum + value, 0) / count / 1_000, 6);
      expect(max).toBe((sorted.at(-1) ?? 0) / 1_000);
      for (const [share, found] of [
        [0.5, p50],
        [0.99, p99],
      ] as const) {
        const exact = (sorted[Math.ceil(count * share) - 1] ?? 0) / 1_000;
        expect(Math.abs(found - exact)).toBeLessThanOrEqual(exact * 0.032 + 0.001);
      }
    }),
  );
});

test("histograms of several processes add up to that of one", () => {
  fc.assert(
    fc.property(durations, durations, (one, other) => {
      const whole = new Latency();
      const parts = [one, other].map((values) => {
        const latency = new Latency();
        for (const value of values) {
          latency.observe(value);
          whole.observe(value);
        }
        return LatencyCounts.parse(latency.counts());
      });
      expect(mergeLatencies([...parts, undefined]).summary()).toEqual(whole.summary());
    }),
  );
});

test("a negative duration, from clocks that disagree, counts as none", () => {
  const latency = new Latency();
  latency.observe(-250);
  expect(latency.summary()).toMatchObject({ count: 1, mean: 0, max: 0 });
});
