import { expect, test } from "vitest";
import { type Decision, Decision as DecisionSchema, toOrder } from "./decision.ts";
import type { JoinedInput } from "./event-time-join.ts";
import { regime } from "./regime.ts";
import { reversion } from "./reversion.ts";
import { createStrategy, type StrategySpec } from "./strategy.ts";
import { trend } from "./trend.ts";
import type { TechnicalSignal } from "./technical-signal.ts";

const CAPITAL = 10_000_000;

interface Scene extends Partial<TechnicalSignal> {
  readonly asOf?: string;
  readonly fundamentalScore?: number;
  readonly mood?: number;
}

function input(
  seq: number,
  { asOf = "2000-01", fundamentalScore = 0, mood = 0, ...signal }: Scene,
): JoinedInput {
  return {
    signal: {
      symbol: "X",
      interval: "daily",
      seq,
      date: "2000-02-01",
      closeCents: 10_000,
      smaFast: 10_000,
      smaSlow: 10_000,
      rsi: 50,
      bandLower: 9_000,
      bandMiddle: 10_500,
      bandUpper: 12_000,
      atr: 100,
      ...signal,
    },
    fundamental: {
      seq: 0,
      asOf,
      jobsChange: null,
      breadth: null,
      score: fundamentalScore,
      regime: "neutral",
    },
    sentiment: { seq: 0, asOf, mode: "lexicon", headlines: 0, score: 0, level: mood },
  };
}

function play(spec: StrategySpec, scenes: readonly Scene[]): Decision[] {
  const strategy = createStrategy(spec, CAPITAL);
  const decisions = scenes.map((scene, seq) => strategy.decide(input(seq, scene)));
  for (const decision of decisions) expect(DecisionSchema.safeParse(decision).success).toBe(true);
  return decisions;
}

function targets(decisions: readonly Decision[]): (number | "hold")[] {
  return decisions.map((decision) => (decision.action === "hold" ? "hold" : decision.targetShares));
}

test.each([trend, reversion, regime])("$name holds while its indicators warm up", (spec) => {
  const cold = {
    smaFast: null,
    smaSlow: null,
    rsi: null,
    bandLower: null,
    bandMiddle: null,
    atr: null,
  };
  expect(play(spec, [cold])[0]).toMatchObject({ action: "hold", reason: "warming up" });
});

test("trend buys a clear crossing, ignores a marginal one, and sells the way back", () => {
  const decisions = play(trend, [
    { smaFast: 10_040 },
    { smaFast: 10_100 },
    { smaFast: 10_500 },
    { smaFast: 9_960 },
    { smaFast: 9_900 },
  ]);
  expect(targets(decisions)).toEqual(["hold", 1_000, "hold", "hold", 0]);
});

test("trend takes fewer shares of a wilder market", () => {
  // 2 % of the capital at risk over two ranges of 5 dollars: 200,000 / 1,000.
  expect(targets(play(trend, [{ smaFast: 10_100, atr: 500 }]))).toEqual([200]);
});

test("reversion buys in two steps and sells at the mean", () => {
  const decisions = play(reversion, [
    { closeCents: 8_900, rsi: 40 },
    { closeCents: 8_900, rsi: 30 },
    { closeCents: 8_750, rsi: 30 },
    { closeCents: 8_650, rsi: 30 },
    { closeCents: 10_600 },
  ]);
  expect(targets(decisions)).toEqual(["hold", 561, "hold", 1_156, 0]);
});

test("reversion gives up far below its entry and waits for the mean before it tries again", () => {
  const oversold = { closeCents: 8_300, rsi: 10 };
  const decisions = play(reversion, [
    { closeCents: 8_900, rsi: 30 },
    oversold,
    oversold,
    { closeCents: 10_500 },
    oversold,
  ]);
  expect(targets(decisions)).toEqual([561, 0, "hold", "hold", 602]);
});

test("regime allocates once a month, by trend, fundamentals and mood together", () => {
  const up = { closeCents: 10_000, smaSlow: 9_000 };
  const down = { closeCents: 10_000, smaSlow: 11_000 };
  const decisions = play(regime, [
    { ...up, asOf: "2000-01" },
    { ...down, asOf: "2000-01" },
    { ...down, asOf: "2000-02", fundamentalScore: 1 },
    { ...down, asOf: "2000-03", fundamentalScore: 0, mood: -0.5 },
    { ...down, asOf: "2000-04", fundamentalScore: 1, mood: 1 },
    { ...down, asOf: "2000-05", fundamentalScore: 1, mood: 1 },
  ]);
  expect(targets(decisions)).toEqual([1_000, "hold", 500, 0, 500, "hold"]);
  expect(decisions[2]?.reason).toBe("50 % invested at regime score -0.05");
});

test("orders carry a deterministic id and are numbered per book", () => {
  const decisions = play(trend, [{ smaFast: 10_100 }, {}, { smaFast: 9_900 }]);
  expect(decisions.map(toOrder)).toEqual([
    {
      id: "trend:X:0",
      number: 0,
      strategy: "trend",
      symbol: "X",
      seq: 0,
      date: "2000-02-01",
      side: "buy",
      targetShares: 1_000,
      priceCents: 10_000,
      reason: "fast average crossed above slow",
    },
    undefined,
    expect.objectContaining({ id: "trend:X:2", number: 1, side: "sell", targetShares: 0 }),
  ]);
});
