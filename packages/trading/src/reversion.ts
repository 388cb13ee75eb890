import { sharesFor, type StrategySpec } from "./strategy.ts";

const OVERSOLD = 35;
/** Distances from the entry price, in average true ranges. */
const ADD_AT = 2;
const STOP_AT = 5;

/** `stopped` stays out of the market until it has recovered to its mean. */
type State =
  | { readonly at: "flat" }
  | { readonly at: "stopped" }
  | { readonly at: "half" | "full"; readonly entryCents: number; readonly atr: number };

/**
 * Mean reversion: buys half a position when the close falls below the lower Bollinger band and the RSI says oversold,
 * the other half if it falls two average true ranges further, and sells at the middle band. Gives up five ranges below
 * the entry.
 */
export const reversion: StrategySpec = {
  name: "reversion",
  start(capitalCents) {
    let state: State = { at: "flat" };
    return ({ signal }) => {
      const { closeCents, bandLower, bandMiddle, rsi, atr } = signal;
      if (bandLower === null || bandMiddle === null || rsi === null || atr === null) {
        return { reason: "warming up" };
      }
      if (state.at === "flat") {
        if (closeCents >= bandLower || rsi >= OVERSOLD) return { reason: "within bands" };
        state = { at: "half", entryCents: closeCents, atr };
        return { targetShares: sharesFor(0.5, capitalCents, signal), reason: "oversold" };
      }
      if (closeCents >= bandMiddle) {
        state = { at: "flat" };
        return { targetShares: 0, reason: "back at the mean" };
      }
      if (state.at === "stopped") return { reason: "waiting for the mean after a stop" };
      const fallen = state.entryCents - closeCents;
      if (fallen > STOP_AT * state.atr) {
        state = { at: "stopped" };
        return { targetShares: 0, reason: "stopped out" };
      }
      if (state.at === "half" && fallen > ADD_AT * state.atr) {
        state = { ...state, at: "full" };
        return { targetShares: sharesFor(1, capitalCents, signal), reason: "oversold further" };
      }
      return { reason: "waiting for the mean" };
    };
  },
};
