import * as z from "zod";
import { PriceCents, SymbolName } from "./bar.ts";
import { IsoDate, IsoMonth } from "./calendar.ts";
import { bookKey, StrategyName } from "./decision.ts";
import { TradingError } from "./errors.ts";
import { compare } from "./ledger.ts";

const Cents = z.int();
const Count = z.int().min(0);

/** One book at the last close of its symbol; cents. See `Book` for the account's own figures. */
export const BookReport = z.object({
  strategy: StrategyName,
  symbol: SymbolName,
  capitalCents: Cents,
  cashCents: Cents,
  shares: Count,
  costCents: Cents,
  realisedCents: Cents,
  feesCents: Cents,
  equityCents: Cents,
  /** Equity less capital: realised and unrealised, after all costs. */
  pnlCents: Cents,
  fills: Count,
  closed: Count,
  wins: Count,
  /** Largest fall of equity from an earlier high, close to close, in basis points of that high. */
  maxDrawdownBps: Count,
  /** Digest of the fills, see `extendDigest`. */
  digest: z.string(),
});
export type BookReport = z.infer<typeof BookReport>;

/** What the market did, for comparison. */
export const SymbolReport = z.object({
  symbol: SymbolName,
  marks: Count,
  firstDate: IsoDate,
  firstCloseCents: PriceCents,
  lastDate: IsoDate,
  lastCloseCents: PriceCents,
  maxDrawdownBps: Count,
});
export type SymbolReport = z.infer<typeof SymbolReport>;

/** What one portfolio shard knows; shards add up to the whole with `mergeReports`. */
export const PortfolioReport = z.object({
  books: z.array(BookReport),
  symbols: z.array(SymbolReport),
  /** Change of equity over all books within each month. Changes, unlike levels, simply add across shards. */
  changeByMonth: z.record(IsoMonth, Cents),
  /** Fills that came more than once. */
  duplicates: Count,
  /** Fills that wait for a predecessor: not 0 at the end means that fills were lost. */
  held: Count,
  /** Fills that came too late for their closes, see `PortfolioOptions.horizon`. */
  lateFills: Count,
});
export type PortfolioReport = z.infer<typeof PortfolioReport>;

/** The report of all shards together. A book or symbol reported by two shards is `DUPLICATE_BOOK`. */
export function mergeReports(reports: readonly PortfolioReport[]): PortfolioReport {
  const books = reports.flatMap((report) => report.books);
  const symbols = reports.flatMap((report) => report.symbols);
  refuseDuplicates(books.map(bookKey));
  refuseDuplicates(symbols.map(({ symbol }) => symbol));
  const changeByMonth: Record<string, number> = {};
  for (const report of reports) {
    for (const [month, change] of Object.entries(report.changeByMonth)) {
      changeByMonth[month] = (changeByMonth[month] ?? 0) + change;
    }
  }
  const total = (count: (report: PortfolioReport) => number): number =>
    reports.reduce((sum, report) => sum + count(report), 0);
  return sortReport({
    books,
    symbols,
    changeByMonth,
    duplicates: total((report) => report.duplicates),
    held: total((report) => report.held),
    lateFills: total((report) => report.lateFills),
  });
}

/** The same report in canonical order: by symbol, then strategy; months ascending. */
export function sortReport(report: PortfolioReport): PortfolioReport {
  return {
    ...report,
    books: report.books.toSorted(
      (a, b) => compare(a.symbol, b.symbol) || compare(a.strategy, b.strategy),
    ),
    symbols: report.symbols.toSorted((a, b) => compare(a.symbol, b.symbol)),
    changeByMonth: Object.fromEntries(
      Object.entries(report.changeByMonth).toSorted(([a], [b]) => compare(a, b)),
    ),
  };
}

function refuseDuplicates(keys: readonly string[]): void {
  const seen = new Set<string>();
  for (const key of keys) {
    if (seen.has(key)) throw new TradingError("DUPLICATE_BOOK", `${key} is reported by two shards`);
    seen.add(key);
  }
}
