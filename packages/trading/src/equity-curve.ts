import { applyFill, type Book, equity, openBook } from "./book.ts";
import { monthIndex } from "./calendar.ts";
import type { Fill } from "./fill.ts";
import { mulDiv } from "./money.ts";

/** The close of one bar; bars and technical signals both are marks. */
export interface Mark {
  readonly symbol: string;
  readonly seq: number;
  readonly date: string;
  readonly closeCents: number;
}

/** The recent closes of one symbol, and what has to be remembered of the earlier ones. */
export class Tape {
  readonly first: Mark;
  last: Mark;
  marks = 0;
  maxDrawdownBps = 0;
  readonly seqs: number[] = [];
  readonly closes: number[] = [];
  readonly months: number[] = [];
  #high = 0;

  constructor(first: Mark) {
    this.first = first;
    this.last = first;
  }

  push(mark: Mark): void {
    this.last = mark;
    this.marks += 1;
    this.seqs.push(mark.seq);
    this.closes.push(mark.closeCents);
    this.months.push(monthIndex(mark.date));
    this.#high = Math.max(this.#high, mark.closeCents);
    this.maxDrawdownBps = Math.max(this.maxDrawdownBps, fallBps(this.#high, mark.closeCents));
  }

  /** Forgets the `count` oldest closes. */
  forget(count: number): void {
    this.seqs.splice(0, count);
    this.closes.splice(0, count);
    this.months.splice(0, count);
  }
}

/**
 * The equity of one book from close to close. It lags behind the account on purpose: a fill may arrive after marks that
 * are younger than it, so a close is only settled once no fill can come for it any more. That makes the curve a function
 * of fills and closes alone, whatever order they arrived in.
 */
export interface Curve {
  book: Book;
  /** Fills not settled yet, in order. */
  pending: Fill[];
  equityCents: number;
  highCents: number;
  maxDrawdownBps: number;
}

export function openCurve(capitalCents: number): Curve {
  return {
    book: openBook(capitalCents),
    pending: [],
    equityCents: capitalCents,
    highCents: capitalCents,
    maxDrawdownBps: 0,
  };
}

/** Settles the `count` oldest closes of the tape; adds each change of equity to its month. */
export function settle(
  curve: Curve,
  tape: Tape,
  count: number,
  changes: Map<number, number>,
): void {
  for (let index = 0; index < count; index += 1) {
    const seq = tape.seqs[index] ?? 0;
    let next = curve.pending[0];
    const untouched = next === undefined || next.seq > seq;
    if (untouched && curve.book.shares === 0) continue;
    for (; next !== undefined && next.seq <= seq; next = curve.pending[0]) {
      curve.book = applyFill(curve.book, next);
      curve.pending.shift();
    }
    const now = equity(curve.book, tape.closes[index] ?? 0);
    const month = tape.months[index] ?? 0;
    changes.set(month, (changes.get(month) ?? 0) + now - curve.equityCents);
    curve.equityCents = now;
    curve.highCents = Math.max(curve.highCents, now);
    curve.maxDrawdownBps = Math.max(curve.maxDrawdownBps, fallBps(curve.highCents, now));
  }
}

/** How far `now` stands below `high`, in basis points, rounded down. */
export function fallBps(high: number, now: number): number {
  return high <= now ? 0 : mulDiv(high - now, 10_000, high, "down");
}
