import { sharesFor, type StrategySpec } from "./strategy.ts";

/** The fast average must leave the slow one by this much before it counts as a crossing; stops whipsaws. */
const BAND = 0.005;
/** Capital put at risk by an adverse move of two average true ranges (turtle sizing, Faith 2007). */
const RISK = 0.02;

/**
 * Trend following: long while the fast average stands above the slow one, flat otherwise. Positions shrink as the market
 * gets wilder and never exceed the capital.
 */
export const trend: StrategySpec = {
  name: "trend",
  start(capitalCents) {
    let long = false;
    return ({ signal }) => {
      const { smaFast, smaSlow, atr } = signal;
      if (smaFast === null || smaSlow === null || atr === null) return { reason: "warming up" };
      if (!long && smaFast > smaSlow * (1 + BAND)) {
        long = true;
        const byRisk = atr === 0 ? Infinity : Math.floor((RISK * capitalCents) / (2 * atr));
        const targetShares = Math.min(byRisk, sharesFor(1, capitalCents, signal));
        return { targetShares, reason: "fast average crossed above slow" };
      }
      if (long && smaFast < smaSlow * (1 - BAND)) {
        long = false;
        return { targetShares: 0, reason: "fast average crossed below slow" };
      }
      return { reason: long ? "trend intact" : "no trend" };
    };
  },
};
