import { expect, test } from "vitest";
import { buyAndHold } from "./buy-and-hold.ts";
import { closingReport } from "./closing-report.ts";
import type { Fill } from "./fill.ts";
import { createPortfolio } from "./portfolio.ts";

const CAPITAL = 1_000_000;
const DATES = ["2000-01-31", "2000-02-29", "2000-03-31", "2000-04-28"];

function trade(number: number, side: "buy" | "sell", shares: number, priceCents: number): Fill {
  return {
    orderId: `regime:X:${number}`,
    strategy: "regime",
    symbol: "X",
    seq: number,
    date: DATES[number] ?? "",
    number,
    side,
    shares,
    priceCents,
    feeCents: 10,
  };
}

test("the report sums up books, strategies and symbols, and compares with holding", () => {
  const portfolio = createPortfolio({ capitalCents: CAPITAL });
  for (const [seq, closeCents] of [1_000, 1_200, 900, 1_500].entries()) {
    portfolio.mark({ symbol: "X", seq, date: DATES[seq] ?? "", closeCents });
  }
  portfolio.apply(trade(0, "buy", 500, 1_000));
  portfolio.apply(trade(1, "sell", 100, 1_200));
  portfolio.apply(trade(2, "sell", 100, 900));
  const closing = closingReport(portfolio.report());

  // 400 shares fall from 1,200 to 900: from 1,099,980 to 979,970 with the fee. 300 then rise to 1,500.
  const pnlCents = 100 * 1_200 + 100 * 900 + 300 * 1_500 - 500 * 1_000 - 30;
  expect(closing).toMatchObject({
    from: "2000-01-31",
    to: "2000-04-28",
    worstSymbolDrawdownBps: 2_500,
  });
  expect(closing.total).toEqual({
    capitalCents: 3 * CAPITAL,
    pnlCents,
    returnBps: 533,
    realisedCents: 100 * 1_200 + 100 * 900 - 200 * 1_000 - 24,
    feesCents: 30,
    fills: 3,
    closed: 2,
    hitRate: 0.5,
    worstBookDrawdownBps: 1_091,
  });
  // All three books together, month-end to month-end: 3,099,980 to 2,979,970.
  expect(closing.maxDrawdownBps).toBe(387);
  expect(closing.byStrategy.map(({ strategy, fills }) => [strategy, fills])).toEqual([
    ["trend", 0],
    ["reversion", 0],
    ["regime", 3],
  ]);
  expect(closing.bySymbol[0]).toMatchObject({ symbol: "X", pnlCents });
  expect(closing.buyAndHoldCents).toBe(buyAndHold(1_000, 1_500, 3 * CAPITAL));
});

test("a run without data has an empty report", () => {
  expect(closingReport(createPortfolio({ capitalCents: CAPITAL }).report())).toMatchObject({
    from: "",
    total: { pnlCents: 0, hitRate: null },
    buyAndHoldCents: 0,
  });
});
