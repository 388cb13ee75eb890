import * as z from "zod";
import { PriceCents, SymbolName } from "./bar.ts";
import { IsoDate } from "./calendar.ts";
import { StrategyName } from "./decision.ts";
import { exact, mulDiv, times } from "./money.ts";

const Executable = {
  strategy: StrategyName,
  symbol: SymbolName,
  seq: z.int().min(0),
  date: IsoDate,
  side: z.enum(["buy", "sell"]),
  shares: z.int().min(1),
  /** Counts the fills of this book from 0 without gaps. */
  number: z.int().min(0),
};

/** An order that risk has approved: this many shares, at the close of the bar that was decided on. */
export const ApprovedOrder = z.object({ ...Executable, id: z.string(), priceCents: PriceCents });
export type ApprovedOrder = z.infer<typeof ApprovedOrder>;

/** An executed order. `priceCents` is per share with slippage; the fee comes on top. */
export const Fill = z.object({
  ...Executable,
  orderId: z.string(),
  priceCents: z.int().min(0),
  feeCents: z.int().min(0),
});
export type Fill = z.infer<typeof Fill>;

/** Cost of trading. Basis points are hundredths of a percent. */
export interface FillRules {
  readonly slippageBps: number;
  readonly commissionBps: number;
  readonly minimumFeeCents: number;
}

/** Five basis points of slippage, one of commission, at least one dollar: a retail broker in liquid shares. */
export const defaultFillRules: FillRules = {
  slippageBps: 5,
  commissionBps: 1,
  minimumFeeCents: 100,
};

/**
 * Executes market-on-close: the whole order at the close it was decided on. Slippage and commission are rounded against
 * us, to the next whole cent per share and per order. A pure function, so executing an order twice gives the same fill.
 */
export function fill(order: ApprovedOrder, rules: FillRules = defaultFillRules): Fill {
  const { id: orderId, ...executed } = order;
  const priceCents = slipped(order.priceCents, order.side, rules);
  return { ...executed, orderId, priceCents, feeCents: fee(order.shares, priceCents, rules) };
}

/** How many shares `cashCents` buys at this close with slippage and fee. */
export function affordableShares(cashCents: number, closeCents: number, rules: FillRules): number {
  const price = slipped(closeCents, "buy", rules);
  const beforeMinimum = Math.floor((cashCents - rules.minimumFeeCents) / price);
  const beforeCommission = mulDiv(
    Math.max(0, cashCents),
    10_000,
    times(price, 10_000 + rules.commissionBps),
    "down",
  );
  let shares = Math.max(0, Math.min(beforeMinimum, beforeCommission));
  while (shares > 0 && buyingCost(shares, closeCents, rules) > cashCents) shares -= 1;
  return shares;
}

/** What buying so many shares at this close takes out of the cash, slippage and fee included. */
export function buyingCost(shares: number, closeCents: number, rules: FillRules): number {
  const price = slipped(closeCents, "buy", rules);
  return exact(times(shares, price) + fee(shares, price, rules));
}

function slipped(closeCents: number, side: "buy" | "sell", { slippageBps }: FillRules): number {
  return side === "buy"
    ? mulDiv(closeCents, 10_000 + slippageBps, 10_000, "up")
    : mulDiv(closeCents, 10_000 - slippageBps, 10_000, "down");
}

function fee(shares: number, priceCents: number, rules: FillRules): number {
  const commission = mulDiv(times(shares, priceCents), rules.commissionBps, 10_000, "up");
  return exact(Math.max(rules.minimumFeeCents, commission));
}
