import * as fc from "fast-check";
import { expect, test } from "vitest";
import { Bar } from "./bar.ts";
import { loadDataset } from "./dataset.ts";
import { syntheticSymbols } from "./synthetic.ts";

const { index } = loadDataset();

test("the same seed gives the same bars, another seed gives others", () => {
  const [a, b, c] = [7, 7, 8].map((seed) => syntheticSymbols(3, seed, index)[2]?.bar(4_321));
  expect(a).toEqual(b);
  expect(a).not.toEqual(c);
});

test("asking for more symbols does not change the first ones", () => {
  const few = syntheticSymbols(2, 1, index);
  const many = syntheticSymbols(20, 1, index);
  expect(many[1]?.bar(99)).toEqual(few[1]?.bar(99));
  expect(new Set(many.map((instrument) => instrument.symbol)).size).toBe(20);
});

test("any bar of any symbol is valid, however far beyond the data", () => {
  fc.assert(
    fc.property(fc.nat(500), fc.nat(), fc.nat(1_000_000), (count, seed, seq) => {
      const instrument = syntheticSymbols(count + 1, seed, index)[count];
      expect(Bar.safeParse(instrument?.bar(seq)).error).toBeUndefined();
    }),
    { numRuns: 50 },
  );
});

test("where the data ends, dates go on by weekdays and prices without a jump", () => {
  const instrument = syntheticSymbols(1, 1, index)[0];
  const end = index.length;
  expect(instrument?.bar(end - 1).date).toBe("2020-04-17");
  expect(instrument?.bar(end).date).toBe("2020-04-20");
  let previous = instrument?.bar(0);
  for (let seq = 1; seq < 3 * end; seq += 1) {
    const bar = instrument?.bar(seq);
    if (bar === undefined || previous === undefined) throw new Error("no bar");
    expect(bar.date > previous.date).toBe(true);
    expect(Math.abs(bar.closeCents / previous.closeCents - 1)).toBeLessThan(0.16);
    previous = bar;
  }
});
