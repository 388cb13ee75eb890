import { applyFill, type Book, equity, openBook } from "./book.ts";
import { monthAt } from "./calendar.ts";
import { bookKey, StrategyName } from "./decision.ts";
import { type Curve, type Mark, openCurve, settle, Tape } from "./equity-curve.ts";
import type { Fill } from "./fill.ts";
import { InOrder } from "./in-order.ts";
import { EMPTY_DIGEST, extendDigest } from "./ledger.ts";
import { type BookReport, type PortfolioReport, sortReport, type SymbolReport } from "./report.ts";

export interface PortfolioOptions {
  readonly capitalCents: number;
  /**
   * Closes that are kept per symbol before they are settled: how many bars a fill may lag behind the marks. A fill later
   * than that is applied all the same and counted as `lateFills`; only the drawdown's path is then approximate.
   */
  readonly horizon?: number;
}

export interface Portfolio {
  /**
   * Books a fill. A fill booked before is a `duplicate` and changes nothing; one whose predecessor is missing is `held`
   * until that comes.
   */
  apply(fill: Fill): "applied" | "duplicate" | "held";
  /** Takes note of a close. Closes of a symbol must ascend; older ones are ignored. */
  mark(mark: Mark): void;
  /** The state of all books now, valued at the last close of their symbol. */
  report(): PortfolioReport;
}

interface Account {
  readonly strategy: StrategyName;
  readonly symbol: string;
  readonly inbox: InOrder<Fill>;
  readonly curve: Curve;
  book: Book;
  digest: string;
  lastPriceCents: number;
}

const DEFAULT_HORIZON = 8_192;

/**
 * The books of any number of symbols; every strategy has one in each, opened with the same capital. All that is reported
 * follows from fills and closes alone, not from the order in which symbols, strategies, fills and closes interleave.
 */
export function createPortfolio({
  capitalCents,
  horizon = DEFAULT_HORIZON,
}: PortfolioOptions): Portfolio {
  const tapes = new Map<string, Tape>();
  const symbols = new Map<string, Account[]>();
  const changes = new Map<number, number>();
  const chunk = Math.max(1, Math.ceil(horizon / 4));
  let lateFills = 0;

  function accountsOf(symbol: string): Account[] {
    let accounts = symbols.get(symbol);
    if (accounts === undefined) {
      accounts = StrategyName.options.map((strategy) =>
        openAccount(strategy, symbol, capitalCents),
      );
      symbols.set(symbol, accounts);
    }
    return accounts;
  }

  return {
    apply(fill) {
      const account = accountsOf(fill.symbol).find(({ strategy }) => strategy === fill.strategy);
      if (account === undefined) throw new RangeError(`no book ${bookKey(fill)}`);
      const duplicates = account.inbox.duplicates;
      const ready = account.inbox.push(fill.number, fill);
      if (account.inbox.duplicates > duplicates) return "duplicate";
      for (const next of ready) {
        if (next.seq < (tapes.get(fill.symbol)?.seqs[0] ?? 0)) lateFills += 1;
        enter(account, next);
      }
      return ready.length === 0 ? "held" : "applied";
    },
    mark(mark) {
      let tape = tapes.get(mark.symbol);
      if (tape === undefined) {
        tape = new Tape(mark);
        tapes.set(mark.symbol, tape);
      } else if (mark.seq <= tape.last.seq) {
        return;
      }
      const accounts = accountsOf(mark.symbol);
      tape.push(mark);
      if (tape.seqs.length < horizon + chunk) return;
      for (const { curve } of accounts) settle(curve, tape, chunk, changes);
      tape.forget(chunk);
    },
    report() {
      const settled = new Map(changes);
      const accounts = [...symbols.values()].flat();
      return sortReport({
        books: accounts.map((account) =>
          bookReport(account, tapes.get(account.symbol), settled, capitalCents),
        ),
        symbols: [...tapes.values()].map(symbolReport),
        changeByMonth: Object.fromEntries(
          [...settled].map(([month, change]) => [monthAt(month), change]),
        ),
        duplicates: accounts.reduce((sum, { inbox }) => sum + inbox.duplicates, 0),
        held: accounts.reduce((sum, { inbox }) => sum + inbox.held, 0),
        lateFills,
      });
    },
  };
}

function openAccount(strategy: StrategyName, symbol: string, capitalCents: number): Account {
  return {
    strategy,
    symbol,
    inbox: new InOrder(),
    curve: openCurve(capitalCents),
    book: openBook(capitalCents),
    digest: EMPTY_DIGEST,
    lastPriceCents: 0,
  };
}

function enter(account: Account, fill: Fill): void {
  account.book = applyFill(account.book, fill);
  account.digest = extendDigest(account.digest, fill);
  account.curve.pending.push(fill);
  account.lastPriceCents = fill.priceCents;
}

function bookReport(
  { strategy, symbol, book, digest, curve, lastPriceCents }: Account,
  tape: Tape | undefined,
  changes: Map<number, number>,
  capitalCents: number,
): BookReport {
  const copy = { ...curve, pending: [...curve.pending] };
  if (tape !== undefined) settle(copy, tape, tape.seqs.length, changes);
  const equityCents = equity(book, tape?.last.closeCents ?? lastPriceCents);
  return {
    strategy,
    symbol,
    ...book,
    capitalCents,
    equityCents,
    pnlCents: equityCents - capitalCents,
    maxDrawdownBps: copy.maxDrawdownBps,
    digest,
  };
}

function symbolReport({ first, last, marks, maxDrawdownBps }: Tape): SymbolReport {
  return {
    symbol: first.symbol,
    marks,
    firstDate: first.date,
    firstCloseCents: first.closeCents,
    lastDate: last.date,
    lastCloseCents: last.closeCents,
    maxDrawdownBps,
  };
}
