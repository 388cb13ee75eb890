import * as z from "zod";
import { applyFill, type Book, equity, openBook } from "./book.ts";
import { addDays } from "./calendar.ts";
import { bookKey, type Order } from "./decision.ts";
import { TradingError } from "./errors.ts";
import { affordableShares, ApprovedOrder, defaultFillRules, fill, type FillRules } from "./fill.ts";
import { mulDiv, times } from "./money.ts";

export const RejectReason = z.enum([
  /** The book stands too far below its high and pauses buying. */
  "drawdown-stop",
  /** The book has realised its loss limit for this calendar year. */
  "loss-limit",
  /** What the limit named leaves is smaller than the smallest order. */
  "position-limit",
  "order-limit",
  "cash",
  "minimum-order",
  /** The book is where the order wants it: an earlier order was rejected or cut. */
  "nothing-to-buy",
  "nothing-to-sell",
]);
export type RejectReason = z.infer<typeof RejectReason>;

/** The answer to an order: approved, maybe for fewer shares than it would take to reach its target, or rejected. */
export const Assessment = z.discriminatedUnion("status", [
  z.object({
    status: z.literal("approved"),
    orderId: z.string(),
    order: ApprovedOrder,
    reduced: z.boolean(),
  }),
  z.object({ status: z.literal("rejected"), orderId: z.string(), reason: RejectReason }),
]);
export type Assessment = z.infer<typeof Assessment>;

/** Limits of one book. Amounts are cents, basis points are hundredths of a percent. */
export interface RiskLimits {
  readonly capitalCents: number;
  readonly maxPositionShares: number;
  readonly maxOrderNotionalCents: number;
  readonly minOrderNotionalCents: number;
  /** A fall of the book's equity from its high by this much, seen at an order, stops buying… */
  readonly drawdownStopBps: number;
  /** …for so many calendar days, after which the high is reckoned anew. */
  readonly cooldownDays: number;
  /** Loss realised within a calendar year, as a part of the capital, after which buying waits for the next year. */
  readonly yearlyLossBps: number;
}

export const defaultRiskLimits: RiskLimits = {
  capitalCents: 10_000_000,
  maxPositionShares: 10_000,
  maxOrderNotionalCents: 10_000_000,
  minOrderNotionalCents: 100_000,
  drawdownStopBps: 1_500,
  cooldownDays: 180,
  yearlyLossBps: 800,
};

export interface Risk {
  /**
   * Judges an order. Asking again about one of the book's latest 1,024 orders gives the same answer and changes nothing.
   * Orders of a book must come in the order of their numbers (`OUT_OF_ORDER` otherwise; `InOrder` restores it).
   */
  assess(order: Order): Assessment;
}

interface RiskBook {
  book: Book;
  highCents: number;
  pausedUntil: string;
  year: string;
  realisedAtYearStart: number;
  nextOrder: number;
  readonly answers: Map<number, Assessment>;
}

const ANSWERS_KEPT = 1_024;

/**
 * State is per book only, so no interleaving of strategies, symbols or shards can change an answer. A book carries its
 * own copy of the account, advanced by the fills its approvals must lead to: it never waits for execution to report.
 * Equity is looked at when an order arrives, at that order's price. Only buying is limited; reducing risk never is.
 */
export function createRisk(
  limits: RiskLimits = defaultRiskLimits,
  rules: FillRules = defaultFillRules,
): Risk {
  const books = new Map<string, RiskBook>();
  return {
    assess(order) {
      const key = bookKey(order);
      let state = books.get(key);
      if (state === undefined) {
        state = newBook(limits.capitalCents);
        books.set(key, state);
      }
      const known = state.answers.get(order.number);
      if (known?.orderId === order.id) return known;
      if (order.number !== state.nextOrder) {
        throw new TradingError(
          "OUT_OF_ORDER",
          `order ${order.id} has number ${order.number}, but ${key} expects ${state.nextOrder}`,
        );
      }
      const answer = judge(state, order, limits, rules);
      state.nextOrder += 1;
      state.answers.set(order.number, answer);
      state.answers.delete(order.number - ANSWERS_KEPT);
      return answer;
    },
  };
}

function newBook(capitalCents: number): RiskBook {
  return {
    book: openBook(capitalCents),
    highCents: capitalCents,
    pausedUntil: "",
    year: "",
    realisedAtYearStart: 0,
    nextOrder: 0,
    answers: new Map(),
  };
}

function judge(state: RiskBook, order: Order, limits: RiskLimits, rules: FillRules): Assessment {
  look(state, order, limits);
  const allowed =
    order.side === "sell" ? sellable(state, order) : buyable(state, order, limits, rules);
  if (typeof allowed === "string")
    return { status: "rejected", orderId: order.id, reason: allowed };
  const { id, strategy, symbol, seq, date, side, priceCents } = order;
  const { fills: number, shares: held } = state.book;
  const approved = { id, strategy, symbol, seq, date, side, priceCents, shares: allowed, number };
  state.book = applyFill(state.book, fill(approved, rules));
  const reduced = allowed < Math.abs(order.targetShares - held);
  return { status: "approved", orderId: id, order: approved, reduced };
}

/** Updates the high, the pause and the year by what this order's price shows. */
function look(state: RiskBook, order: Order, limits: RiskLimits): void {
  const now = equity(state.book, order.priceCents);
  state.highCents = Math.max(state.highCents, now);
  const year = order.date.slice(0, 4);
  if (year !== state.year) {
    state.year = year;
    state.realisedAtYearStart = state.book.realisedCents;
  }
  const fallen = state.highCents - now;
  if (times(fallen, 10_000) >= times(state.highCents, limits.drawdownStopBps)) {
    state.pausedUntil = addDays(order.date, limits.cooldownDays);
    state.highCents = now;
  }
}

function sellable({ book }: RiskBook, order: Order): number | RejectReason {
  return book.shares > order.targetShares ? book.shares - order.targetShares : "nothing-to-sell";
}

function buyable(
  { book, pausedUntil, realisedAtYearStart }: RiskBook,
  order: Order,
  limits: RiskLimits,
  rules: FillRules,
): number | RejectReason {
  const wanted = order.targetShares - book.shares;
  if (wanted <= 0) return "nothing-to-buy";
  if (order.date < pausedUntil) return "drawdown-stop";
  const lost = realisedAtYearStart - book.realisedCents;
  if (lost >= mulDiv(limits.capitalCents, limits.yearlyLossBps, 10_000, "up")) return "loss-limit";
  const ceilings: readonly (readonly [number, RejectReason])[] = [
    [wanted, "minimum-order"],
    [limits.maxPositionShares - book.shares, "position-limit"],
    [Math.floor(limits.maxOrderNotionalCents / order.priceCents), "order-limit"],
    [affordableShares(book.cashCents, order.priceCents, rules), "cash"],
  ];
  const [shares, reason] = ceilings.reduce((tightest, ceiling) =>
    ceiling[0] < tightest[0] ? ceiling : tightest,
  );
  const tooSmall = shares < 1 || times(shares, order.priceCents) < limits.minOrderNotionalCents;
  return tooSmall ? reason : shares;
}
