import { affordableShares, buyingCost, defaultFillRules, type FillRules } from "./fill.ts";
import { exact, times } from "./money.ts";

/**
 * Profit, in cents, of buying as many shares as the capital affords at the first close, at the same costs as everybody
 * else, and valuing them at the last. What is left over stays cash; nothing is sold, so no selling costs.
 */
export function buyAndHold(
  firstCloseCents: number,
  lastCloseCents: number,
  capitalCents: number,
  rules: FillRules = defaultFillRules,
): number {
  const shares = affordableShares(capitalCents, firstCloseCents, rules);
  if (shares === 0) return 0;
  return exact(times(shares, lastCloseCents) - buyingCost(shares, firstCloseCents, rules));
}
