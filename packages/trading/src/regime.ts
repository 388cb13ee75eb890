import type { JoinedInput } from "./event-time-join.ts";
import { sharesFor, type StrategySpec } from "./strategy.ts";

const WEIGHTS = { trend: 0.4, fundamental: 0.35, sentiment: 0.25 };
const FULL_ABOVE = 0.25;
const HALF_ABOVE = -0.2;

/**
 * Regime allocation: once a month, at its first bar, weighs the trend (close against the slow average), the fundamental
 * score and the mood of the news, and holds all, half or none of the capital in the symbol.
 */
export const regime: StrategySpec = {
  name: "regime",
  start(capitalCents) {
    let month = "";
    let exposure = 0;
    return (input) => {
      const { signal, fundamental } = input;
      if (signal.smaSlow === null) return { reason: "warming up" };
      if (fundamental.asOf === month) return { reason: "already allocated this month" };
      month = fundamental.asOf;
      const score = regimeScore(input, signal.smaSlow);
      const wanted = score > FULL_ABOVE ? 1 : score > HALF_ABOVE ? 0.5 : 0;
      if (wanted === exposure) return { reason: "regime unchanged" };
      exposure = wanted;
      return {
        targetShares: sharesFor(exposure, capitalCents, signal),
        reason: `${exposure * 100} % invested at regime score ${score.toFixed(2)}`,
      };
    };
  },
};

/** Weighted mean of the three voices, -1 … 1. */
function regimeScore({ signal, fundamental, sentiment }: JoinedInput, smaSlow: number): number {
  return (
    WEIGHTS.trend * (signal.closeCents > smaSlow ? 1 : -1) +
    WEIGHTS.fundamental * fundamental.score +
    WEIGHTS.sentiment * sentiment.level
  );
}
