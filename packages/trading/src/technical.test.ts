import { expect, test } from "vitest";
import type { Bar } from "./bar.ts";
import { loadDataset } from "./dataset.ts";
import { syntheticSymbols } from "./synthetic.ts";
import { createTechnical } from "./technical.ts";
import { TechnicalSignal } from "./technical-signal.ts";

const SMALL = { fast: 2, slow: 4, rsi: 2, bands: 4, atr: 2 };
const WINDOWS = { daily: SMALL, monthly: SMALL };

function bar(seq: number, closeCents: number, range = 0): Bar {
  return {
    symbol: "X",
    interval: "daily",
    seq,
    date: `2000-01-${String(seq + 1).padStart(2, "0")}`,
    openCents: closeCents,
    highCents: closeCents + range,
    lowCents: closeCents - range,
    closeCents,
    volume: 0,
  };
}

test("indicators equal values computed by hand", () => {
  const technical = createTechnical(WINDOWS);
  const signals = [100, 104, 102, 110].map((close, seq) => technical.update(bar(seq, close, 1)));
  expect(signals[0]).toMatchObject({
    smaFast: null,
    smaSlow: null,
    rsi: null,
    bandUpper: null,
    atr: null,
  });
  expect(signals[1]).toMatchObject({ smaFast: 102, smaSlow: null });
  const last = signals[3];
  expect(last).toMatchObject({ smaFast: 106, smaSlow: 104, bandMiddle: 104 });
  // Deviations -4, 0, -2, 6: variance 56 / 4, population.
  expect(last?.bandUpper).toBeCloseTo(104 + 2 * Math.sqrt(14), 10);
  expect(last?.bandLower).toBeCloseTo(104 - 2 * Math.sqrt(14), 10);
  // Changes +4, -2, +8. Wilder: gain (4 + 0) / 2 = 2, then (2 + 8) / 2 = 5; loss (0 + 2) / 2 = 1, then 0.5.
  expect(last?.rsi).toBeCloseTo(100 - 100 / (1 + 5 / 0.5), 10);
  // True ranges 2, 5, 3, 9. Wilder: 3.5, then (3.5 + 3) / 2 = 3.25, then (3.25 + 9) / 2.
  expect(last?.atr).toBeCloseTo(6.125, 10);
});

test("a bar that comes twice changes nothing, a bar that never comes is counted", () => {
  const technical = createTechnical(WINDOWS);
  technical.update(bar(0, 100));
  technical.update(bar(1, 104));
  expect(technical.update(bar(1, 999))).toBeUndefined();
  expect(technical.update(bar(3, 108))?.smaFast).toBe(106);
  expect(technical.stats).toEqual({ duplicates: 1, missing: 1 });
});

test("symbols do not influence each other", () => {
  const instruments = syntheticSymbols(3, 5, loadDataset().index);
  const together = createTechnical();
  const alone = instruments.map(() => createTechnical());
  for (let seq = 0; seq < 300; seq += 1) {
    for (const [index, instrument] of instruments.entries()) {
      const signal = together.update(instrument.bar(seq));
      expect(signal).toEqual(alone[index]?.update(instrument.bar(seq)));
      expect(TechnicalSignal.safeParse(signal).success).toBe(true);
    }
  }
});
