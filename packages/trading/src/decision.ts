import * as z from "zod";
import { PriceCents, SymbolName } from "./bar.ts";
import { IsoDate } from "./calendar.ts";

export const StrategyName = z.enum(["trend", "reversion", "regime"]);
export type StrategyName = z.infer<typeof StrategyName>;

/** A book is what one strategy does in one symbol: the unit of accounting, of risk and of ordering. */
export function bookKey(book: { strategy: string; symbol: string }): string {
  return `${book.strategy}:${book.symbol}`;
}

const Decided = {
  strategy: StrategyName,
  symbol: SymbolName,
  /** The bar that was decided on, its day and its close. */
  seq: z.int().min(0),
  date: IsoDate,
  priceCents: PriceCents,
  reason: z.string(),
};

const Trade = {
  ...Decided,
  /** The position that is wanted afterwards; how many shares that takes is for risk to say. */
  targetShares: z.int().min(0),
  /** Counts the orders of this book from 0, so that risk can tell a late order from a missing one. */
  number: z.int().min(0),
};

/** What a strategy concludes from one joined input; most of the time, `hold`. */
export const Decision = z.discriminatedUnion("action", [
  z.object({ ...Decided, action: z.literal("hold") }),
  z.object({ ...Trade, action: z.literal("buy") }),
  z.object({ ...Trade, action: z.literal("sell") }),
]);
export type Decision = z.infer<typeof Decision>;

/** A decision to trade, on its way to risk. The id is `strategy:symbol:seq`. */
export const Order = z.object({
  ...Trade,
  id: z.string(),
  side: z.enum(["buy", "sell"]),
});
export type Order = z.infer<typeof Order>;

/** The order that a decision asks for, if it asks for one. */
export function toOrder(decision: Decision): Order | undefined {
  if (decision.action === "hold") return undefined;
  const { action, ...trade } = decision;
  return { id: `${bookKey(trade)}:${trade.seq}`, side: action, ...trade };
}
