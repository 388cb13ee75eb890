import * as fc from "fast-check";
import { expect, test } from "vitest";
import { buyAndHold } from "./buy-and-hold.ts";
import {
  affordableShares,
  type ApprovedOrder,
  buyingCost,
  defaultFillRules,
  Fill,
  fill,
} from "./fill.ts";

const order: ApprovedOrder = {
  id: "trend:X:7",
  strategy: "trend",
  symbol: "X",
  seq: 7,
  date: "2000-01-03",
  side: "buy",
  shares: 300,
  number: 0,
  priceCents: 10_001,
};
const rules = { slippageBps: 5, commissionBps: 1, minimumFeeCents: 100 };

test("a purchase pays slippage and commission, both rounded up", () => {
  // 10,001 * 1.0005 = 10,006.0005; 300 * 10,007 * 0.0001 = 300.21.
  expect(fill(order, rules)).toEqual({
    orderId: "trend:X:7",
    strategy: "trend",
    symbol: "X",
    seq: 7,
    date: "2000-01-03",
    side: "buy",
    shares: 300,
    number: 0,
    priceCents: 10_007,
    feeCents: 301,
  });
});

test("a sale receives less slippage, rounded down, and pays at least the minimum fee", () => {
  // 10,001 * 0.9995 = 9,995.9995.
  const sold = fill({ ...order, side: "sell", shares: 1 }, rules);
  expect(sold).toMatchObject({ priceCents: 9_995, feeCents: 100 });
  expect(Fill.safeParse(sold).success).toBe(true);
});

test("executing twice gives the same fill", () => {
  expect(fill(order)).toEqual(fill(order));
});

test("affordable shares cost no more than the cash, and one more would", () => {
  fc.assert(
    fc.property(fc.nat(1_000_000_000), fc.integer({ min: 1, max: 500_000 }), (cash, close) => {
      const shares = affordableShares(cash, close, defaultFillRules);
      expect(shares === 0 || buyingCost(shares, close, defaultFillRules) <= cash).toBe(true);
      expect(buyingCost(shares + 1, close, defaultFillRules)).toBeGreaterThan(cash);
    }),
  );
});

test("buy and hold earns the price difference less the cost of buying, on whole shares", () => {
  // 99 shares at 10,005 with a fee of 100 are the most that 1,000,000 buys.
  expect(buyAndHold(10_000, 15_000, 1_000_000, rules)).toBe(99 * (15_000 - 10_005) - 100);
  expect(buyAndHold(10_000, 15_000, 9_000, rules)).toBe(0);
  const free = { slippageBps: 0, commissionBps: 0, minimumFeeCents: 0 };
  expect(buyAndHold(10_000, 5_000, 1_000_000, free)).toBe(-500_000);
});
