import * as z from "zod";
import { PriceCents, SymbolName } from "./bar.ts";
import { IsoDate, IsoMonth } from "./calendar.ts";
import { StrategyName } from "./decision.ts";
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

/** All books at the end of a run. */
export const PortfolioReport = z.object({
  books: z.array(BookReport),
  symbols: z.array(SymbolReport),
  /** Change of equity over all books within each month. */
  changeByMonth: z.record(IsoMonth, Cents),
  /** Fills that came more than once. */
  duplicates: Count,
  /** Fills that wait for a predecessor: not 0 at the end means that fills were lost. */
  held: Count,
  /** Fills that came too late for their closes, see `PortfolioOptions.horizon`. */
  lateFills: Count,
});
export type PortfolioReport = z.infer<typeof PortfolioReport>;

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
