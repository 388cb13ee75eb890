import * as fc from "fast-check";
import { expect, test } from "vitest";
import { closingReport } from "./closing-report.ts";
import { StrategyName } from "./decision.ts";
import type { Mark } from "./equity-curve.ts";
import type { Fill } from "./fill.ts";
import { ledgerHash } from "./ledger.ts";
import { createPortfolio, type Portfolio } from "./portfolio.ts";
import { PortfolioReport } from "./report.ts";

const CAPITAL = 1_000_000;

function trade(
  side: "buy" | "sell",
  number: number,
  seq: number,
  shares: number,
  priceCents: number,
): Fill {
  return {
    orderId: `trend:X:${seq}`,
    strategy: "trend",
    symbol: "X",
    date: "2000-01-03",
    feeCents: 0,
    number,
    seq,
    side,
    shares,
    priceCents,
  };
}

function mark(seq: number, closeCents: number, symbol = "X"): Mark {
  return { symbol, seq, date: `2000-${String((seq % 12) + 1).padStart(2, "0")}-01`, closeCents };
}

function trendBook(portfolio: Portfolio): PortfolioReport["books"][number] | undefined {
  return portfolio.report().books.find((book) => book.strategy === "trend");
}

test("a book is valued at the last close and remembers its deepest fall", () => {
  const portfolio = createPortfolio({ capitalCents: CAPITAL });
  portfolio.apply(trade("buy", 0, 0, 100, 5_000));
  for (const [seq, close] of [5_000, 8_000, 4_500, 6_000].entries())
    portfolio.mark(mark(seq, close));
  expect(trendBook(portfolio)).toMatchObject({
    cashCents: 500_000,
    shares: 100,
    equityCents: 1_100_000,
    pnlCents: 100_000,
    // From 1,300,000 to 950,000.
    maxDrawdownBps: 2_692,
  });
  expect(portfolio.report().changeByMonth).toEqual({
    "2000-01": 0,
    "2000-02": 300_000,
    "2000-03": -350_000,
    "2000-04": 150_000,
  });
  expect(PortfolioReport.safeParse(portfolio.report()).error).toBeUndefined();
});

test("a fill that comes twice is counted and booked once", () => {
  const portfolio = createPortfolio({ capitalCents: CAPITAL });
  const bought = trade("buy", 0, 0, 10, 5_000);
  expect([portfolio.apply(bought), portfolio.apply(bought)]).toEqual(["applied", "duplicate"]);
  expect(trendBook(portfolio)).toMatchObject({ shares: 10, fills: 1 });
  expect(portfolio.report().duplicates).toBe(1);
});

test("a fill is held until its predecessor comes", () => {
  const portfolio = createPortfolio({ capitalCents: CAPITAL });
  expect(portfolio.apply(trade("sell", 1, 5, 10, 6_000))).toBe("held");
  expect(portfolio.report().held).toBe(1);
  expect(portfolio.apply(trade("buy", 0, 0, 10, 5_000))).toBe("applied");
  expect(portfolio.report().held).toBe(0);
  expect(trendBook(portfolio)).toMatchObject({ shares: 0, realisedCents: 10_000 });
});

test("closes beyond the horizon are settled without changing the outcome", () => {
  const reports = [8, 10_000].map((horizon) => {
    const portfolio = createPortfolio({ capitalCents: CAPITAL, horizon });
    for (let seq = 0; seq < 500; seq += 1) {
      portfolio.mark(mark(seq, 5_000 + ((seq * 37) % 1_000)));
      if (seq % 50 === 10) portfolio.apply(trade("buy", (seq - 10) / 50, seq - 5, 5, 5_000));
    }
    return portfolio.report();
  });
  expect(reports[0]).toEqual(reports[1]);
  expect(reports[0]?.lateFills).toBe(0);
});

test("a fill beyond the horizon is booked and counted as late", () => {
  const portfolio = createPortfolio({ capitalCents: CAPITAL, horizon: 8 });
  for (let seq = 0; seq < 100; seq += 1) portfolio.mark(mark(seq, 5_000));
  expect(portfolio.apply(trade("buy", 0, 0, 10, 5_000))).toBe("applied");
  expect(portfolio.report().lateFills).toBe(1);
  expect(trendBook(portfolio)?.shares).toBe(10);
});

/** Marks and fills of a few symbols; every book buys, then sells, and so on. */
const history = fc
  .record({
    closes: fc.array(fc.integer({ min: 100, max: 20_000 }), { minLength: 5, maxLength: 30 }),
    symbols: fc.integer({ min: 1, max: 4 }),
  })
  .map(({ closes, symbols }) => {
    const names = Array.from({ length: symbols }, (_, index) => `S${index}`);
    const marks = names.map((symbol) => closes.map((close, seq) => mark(seq, close, symbol)));
    const fills = names.flatMap((symbol, index) =>
      StrategyName.options.flatMap((strategy, offset) =>
        closes.flatMap((close, seq): Fill[] => {
          const number = (seq - offset) / (index + 2);
          if (number < 0 || !Number.isInteger(number)) return [];
          const side = number % 2 === 0 ? "buy" : "sell";
          const own = trade(side, number, seq, index + 3, close);
          return [{ ...own, strategy, symbol, orderId: `${strategy}:${symbol}:${seq}` }];
        }),
      ),
    );
    return { marks, fills };
  });

test("fills in any order, with duplicates, before or after the marks, give one report", () => {
  const runs = history.chain(({ marks, fills }) =>
    fc.record({
      marks: fc.constant(marks),
      fills: fc.constant(fills),
      arrivals: fc.shuffledSubarray([...fills, ...fills], { minLength: 2 * fills.length }),
      marksFirst: fc.boolean(),
    }),
  );
  fc.assert(
    fc.property(runs, ({ marks, fills, arrivals, marksFirst }) => {
      const reference = createPortfolio({ capitalCents: CAPITAL });
      for (const own of marks) for (const each of own) reference.mark(each);
      for (const each of fills) reference.apply(each);

      const portfolio = createPortfolio({ capitalCents: CAPITAL });
      const steps = [
        (): void => marks.flat().forEach((each) => portfolio.mark(each)),
        (): void => arrivals.forEach((each) => void portfolio.apply(each)),
      ];
      for (const step of marksFirst ? steps : steps.toReversed()) step();
      const report = portfolio.report();

      expect(report).toEqual({ ...reference.report(), duplicates: fills.length });
      const closing = closingReport(report);
      expect(closing.ledgerHash).toBe(ledgerHash(fills));
      const changes = Object.values(report.changeByMonth).reduce((sum, change) => sum + change, 0);
      expect(changes).toBe(closing.total.pnlCents);
    }),
    { numRuns: 60 },
  );
});
