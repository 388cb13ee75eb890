import * as fc from "fast-check";
import { SMA } from "trading-signals";
import { expect, test } from "vitest";
import { RollingMean } from "./rolling-mean.ts";

test("the mean is to the last bit the one that trading-signals takes over the whole window", () => {
  const cents = fc.array(fc.integer({ min: 1, max: 100_000_000 }), { maxLength: 100 });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 30 }), cents, (window, values) => {
      const rolling = new RollingMean(window);
      const whole = new SMA(window);
      for (const value of values) expect(rolling.add(value)).toBe(whole.add(value));
    }),
  );
});
