import { createHash } from "node:crypto";
import type { Fill } from "./fill.ts";

/** A book's fills, digested in the order of their numbers. */
export interface BookDigest {
  readonly strategy: string;
  readonly symbol: string;
  readonly fills: number;
  readonly digest: string;
}

/** The digest of a book without fills. */
export const EMPTY_DIGEST = sha256("");

/**
 * The digest after one more fill: `sha256(previous digest + canonical fill)`. A chain, so a book needs to remember
 * neither its fills nor the state of a hash, and a shard can be summed up in one line per book.
 */
export function extendDigest(digest: string, fill: Fill): string {
  const { number, orderId, seq, date, side, shares, priceCents, feeCents } = fill;
  return sha256(
    digest + JSON.stringify([number, orderId, seq, date, side, shares, priceCents, feeCents]),
  );
}

/**
 * SHA-256 (hex) over all books that have fills, sorted by symbol and strategy. Depends on the fills only, not on their
 * arrival order, nor on how the books were spread over shards.
 */
export function combineDigests(books: readonly BookDigest[]): string {
  const lines = books
    .filter((book) => book.fills > 0)
    .toSorted((a, b) => compare(a.symbol, b.symbol) || compare(a.strategy, b.strategy))
    .map((book) => JSON.stringify([book.symbol, book.strategy, book.fills, book.digest]));
  return sha256(lines.join("\n"));
}

/** The ledger hash of a set of fills, given in any order: sorted by symbol, strategy and number. */
export function ledgerHash(fills: readonly Fill[]): string {
  const books = new Map<
    string,
    { strategy: string; symbol: string; fills: number; digest: string }
  >();
  for (const fill of fills.toSorted((a, b) => a.number - b.number)) {
    const key = JSON.stringify([fill.symbol, fill.strategy]);
    const { strategy, symbol } = fill;
    const book = books.get(key) ?? { strategy, symbol, fills: 0, digest: EMPTY_DIGEST };
    book.fills += 1;
    book.digest = extendDigest(book.digest, fill);
    books.set(key, book);
  }
  return combineDigests([...books.values()]);
}

/** Order by UTF-16 code units: the same everywhere, unlike a locale's. */
export function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
