import type { Fill } from "./fill.ts";
import { exact, mulDiv, times } from "./money.ts";

/**
 * The account of one strategy in one symbol, integer cents and whole shares. At all times
 * `cashCents + costCents = capital + realisedCents`.
 */
export interface Book {
  readonly cashCents: number;
  readonly shares: number;
  /** What the shares held have cost, buying fees included. */
  readonly costCents: number;
  /** Profit of what was sold: proceeds less selling fees less average cost. */
  readonly realisedCents: number;
  readonly feesCents: number;
  readonly fills: number;
  /** Sales, and those among them that made a profit after all fees. */
  readonly closed: number;
  readonly wins: number;
}

export function openBook(capitalCents: number): Book {
  return {
    cashCents: exact(capitalCents, "capital"),
    shares: 0,
    costCents: 0,
    realisedCents: 0,
    feesCents: 0,
    fills: 0,
    closed: 0,
    wins: 0,
  };
}

/**
 * The book after a fill. Cost leaves at the average (rounded down; what rounding leaves behind goes with the last
 * share). Throws `UNSAFE_AMOUNT` when a figure stops being exact or more is sold than held.
 */
export function applyFill(book: Book, fill: Fill): Book {
  const notional = times(fill.shares, fill.priceCents);
  const feesCents = exact(book.feesCents + fill.feeCents);
  const fills = book.fills + 1;
  if (fill.side === "buy") {
    const spent = exact(notional + fill.feeCents);
    return {
      ...book,
      feesCents,
      fills,
      cashCents: exact(book.cashCents - spent),
      shares: exact(book.shares + fill.shares),
      costCents: exact(book.costCents + spent),
    };
  }
  const shares = book.shares - fill.shares;
  if (shares < 0)
    throw new RangeError(`${fill.orderId} sells ${fill.shares} of ${book.shares} shares`);
  const cost = mulDiv(book.costCents, fill.shares, book.shares, "down");
  const received = exact(notional - fill.feeCents);
  const profit = exact(received - cost);
  return {
    feesCents,
    fills,
    cashCents: exact(book.cashCents + received),
    shares,
    costCents: exact(book.costCents - cost),
    realisedCents: exact(book.realisedCents + profit),
    closed: book.closed + 1,
    wins: book.wins + (profit > 0 ? 1 : 0),
  };
}

/** Cash and shares at this price. */
export function equity(book: Book, priceCents: number): number {
  return exact(book.cashCents + times(book.shares, priceCents));
}
