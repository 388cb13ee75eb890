import * as fc from "fast-check";
import { expect, test } from "vitest";
import { applyFill, type Book, equity, openBook } from "./book.ts";
import type { Fill } from "./fill.ts";

const CAPITAL = 10_000_000;

function trade(side: "buy" | "sell", shares: number, priceCents: number, feeCents = 100): Fill {
  return {
    orderId: "trend:X:0",
    strategy: "trend",
    symbol: "X",
    seq: 0,
    date: "2000-01-03",
    number: 0,
    side,
    shares,
    priceCents,
    feeCents,
  };
}

test("cost leaves at the average, and fees count as cost", () => {
  let book = applyFill(openBook(CAPITAL), trade("buy", 2, 1_000));
  book = applyFill(book, trade("buy", 1, 1_600));
  expect(book).toMatchObject({ shares: 3, costCents: 3_800, cashCents: CAPITAL - 3_800 });
  book = applyFill(book, trade("sell", 1, 2_000));
  // A third of 3,800 is 1,266.67: rounded down. 2,000 - 100 - 1,266 = 634.
  expect(book).toMatchObject({
    shares: 2,
    costCents: 2_534,
    realisedCents: 634,
    closed: 1,
    wins: 1,
  });
  book = applyFill(book, trade("sell", 2, 1_000));
  expect(book).toMatchObject({
    shares: 0,
    costCents: 0,
    realisedCents: 0,
    feesCents: 400,
    fills: 4,
    closed: 2,
    wins: 1,
  });
  expect(book.cashCents).toBe(CAPITAL);
});

test("selling more than is held is refused", () => {
  expect(() => applyFill(openBook(CAPITAL), trade("sell", 1, 1_000))).toThrow(
    "trend:X:0 sells 1 of 0 shares",
  );
});

test("a figure beyond the exact integers is refused", () => {
  const rich: Book = { ...openBook(Number.MAX_SAFE_INTEGER), shares: 1, costCents: 1 };
  expect(() => applyFill(rich, trade("sell", 1, 1_000))).toThrow(
    expect.objectContaining({ code: "UNSAFE_AMOUNT" }),
  );
});

const trades = fc.array(
  fc.record({
    side: fc.constantFrom("buy" as const, "sell" as const),
    shares: fc.integer({ min: 1, max: 5_000 }),
    priceCents: fc.integer({ min: 1, max: 500_000 }),
    feeCents: fc.nat(10_000),
  }),
  { maxLength: 60 },
);

test("no cent appears or vanishes, whatever is traded", () => {
  fc.assert(
    fc.property(trades, fc.integer({ min: 1, max: 500_000 }), (wanted, close) => {
      let book = openBook(CAPITAL);
      let cash = BigInt(CAPITAL);
      let shares = 0n;
      for (const { side, shares: size, priceCents, feeCents } of wanted) {
        if (side === "sell" && book.shares === 0) continue;
        const traded = side === "buy" ? size : Math.min(size, book.shares);
        book = applyFill(book, trade(side, traded, priceCents, feeCents));
        const sign = side === "buy" ? 1n : -1n;
        cash -= sign * BigInt(traded) * BigInt(priceCents) + BigInt(feeCents);
        shares += sign * BigInt(traded);
      }
      expect([BigInt(book.cashCents), BigInt(book.shares)]).toEqual([cash, shares]);
      expect(book.cashCents + book.costCents).toBe(CAPITAL + book.realisedCents);
      const unrealised = book.shares * close - book.costCents;
      expect(equity(book, close) - CAPITAL).toBe(book.realisedCents + unrealised);
      expect(book.shares > 0 || book.costCents === 0).toBe(true);
    }),
  );
});
