import { buyAndHold } from "./buy-and-hold.ts";
import { StrategyName } from "./decision.ts";
import { fallBps } from "./equity-curve.ts";
import { defaultFillRules, type FillRules } from "./fill.ts";
import { combineDigests, compare } from "./ledger.ts";
import { exact } from "./money.ts";
import type { BookReport, PortfolioReport } from "./report.ts";

/** Sums over some books; cents and basis points. */
export interface Summary {
  readonly capitalCents: number;
  readonly pnlCents: number;
  /** Profit as a part of the capital. */
  readonly returnBps: number;
  readonly realisedCents: number;
  readonly feesCents: number;
  readonly fills: number;
  /** Sales; `hitRate` is the share of them that made a profit after costs, null without sales. */
  readonly closed: number;
  readonly hitRate: number | null;
  /** Largest drawdown of any one of these books, close to close. */
  readonly worstBookDrawdownBps: number;
}

/** What a person wants to read at the end of a run. */
export interface ClosingReport {
  /** First and last day of the data, empty without data. */
  readonly from: string;
  readonly to: string;
  readonly total: Summary;
  /** Largest drawdown of all books together, month-end to month-end. */
  readonly maxDrawdownBps: number;
  /** Profit of buying and holding the same symbols with the same capital, and the worst fall of any of them. */
  readonly buyAndHoldCents: number;
  readonly worstSymbolDrawdownBps: number;
  readonly byStrategy: readonly (Summary & { readonly strategy: StrategyName })[];
  readonly bySymbol: readonly (Summary & {
    readonly symbol: string;
    readonly buyAndHoldCents: number;
  })[];
  readonly ledgerHash: string;
}

export function closingReport(
  report: PortfolioReport,
  rules: FillRules = defaultFillRules,
): ClosingReport {
  const { books, symbols } = report;
  const booksOf = Map.groupBy(books, (book) => book.symbol);
  const bySymbol = symbols.map(({ symbol, firstCloseCents, lastCloseCents }) => {
    const summary = summarise(booksOf.get(symbol) ?? []);
    const held = buyAndHold(firstCloseCents, lastCloseCents, summary.capitalCents, rules);
    return { symbol, ...summary, buyAndHoldCents: held };
  });
  const byStrategy = Map.groupBy(books, (book) => book.strategy);
  const total = summarise(books);
  return {
    from: symbols.map((row) => row.firstDate).toSorted(compare)[0] ?? "",
    to:
      symbols
        .map((row) => row.lastDate)
        .toSorted(compare)
        .at(-1) ?? "",
    total,
    maxDrawdownBps: monthlyDrawdownBps(total.capitalCents, report.changeByMonth),
    buyAndHoldCents: exact(sum(bySymbol, (row) => row.buyAndHoldCents)),
    worstSymbolDrawdownBps: largest(symbols, (row) => row.maxDrawdownBps),
    byStrategy: StrategyName.options.map((strategy) =>
      Object.assign(summarise(byStrategy.get(strategy) ?? []), { strategy }),
    ),
    bySymbol,
    ledgerHash: combineDigests(books),
  };
}

function summarise(books: readonly BookReport[]): Summary {
  const capitalCents = exact(sum(books, (book) => book.capitalCents));
  const pnlCents = exact(sum(books, (book) => book.pnlCents));
  const closed = sum(books, (book) => book.closed);
  return {
    capitalCents,
    pnlCents,
    returnBps: capitalCents === 0 ? 0 : Math.round((pnlCents / capitalCents) * 10_000),
    realisedCents: exact(sum(books, (book) => book.realisedCents)),
    feesCents: exact(sum(books, (book) => book.feesCents)),
    fills: sum(books, (book) => book.fills),
    closed,
    hitRate: closed === 0 ? null : sum(books, (book) => book.wins) / closed,
    worstBookDrawdownBps: largest(books, (book) => book.maxDrawdownBps),
  };
}

/** Months are in ascending order, as `sortReport` leaves them. */
function monthlyDrawdownBps(
  capitalCents: number,
  changeByMonth: Readonly<Record<string, number>>,
): number {
  let equity = capitalCents;
  let high = capitalCents;
  let worst = 0;
  for (const change of Object.values(changeByMonth)) {
    equity = exact(equity + change);
    high = Math.max(high, equity);
    worst = Math.max(worst, fallBps(high, equity));
  }
  return worst;
}

function sum<T>(items: readonly T[], amount: (item: T) => number): number {
  return items.reduce((total, item) => total + amount(item), 0);
}

function largest<T>(items: readonly T[], amount: (item: T) => number): number {
  return items.reduce((most, item) => Math.max(most, amount(item)), 0);
}
