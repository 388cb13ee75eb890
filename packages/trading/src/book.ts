import * as z from "zod";
import type { Fill } from "./fill.ts";
import { exact, mulDiv, times } from "./money.ts";

const Count = z.int().min(0);

/**
 * The account of one strategy in one symbol, integer cents and whole shares. At all times
 * `cashCents + costCents = capital + realisedCents`.
 */
export const Book = z.object({
  cashCents: z.int(),
  shares: Count,
  /** What the shares held have cost, buying fees included. */
  costCents: z.int(),
  /** Profit of what was sold: proceeds less selling fees less average cost. */
  realisedCents: z.int(),
  feesCents: z.int(),
  fills: Count,
  /** Sales, and those among them that made a profit after all fees. */
  closed: Count,
  wins: Count,
});
export type Book = Readonly<z.infer<typeof Book>>;

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
