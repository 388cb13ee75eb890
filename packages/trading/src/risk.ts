import * as z from "zod";
import { applyFill, Book, equity, openBook } from "./book.ts";
import { addDays } from "./calendar.ts";
import { bookKey, Order } from "./decision.ts";
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
  /** A large order: more analysts were against it than for it, or a human did not approve it. */
  "voted-down",
  "not-approved",
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

/** What risk knows of one book; advanced by the assessments it has made. */
export const RiskState = z.object({
  /** Its own copy of the account: it never waits for execution to report. */
  book: Book,
  highCents: z.int(),
  pausedUntil: z.string(),
  year: z.string(),
  realisedAtYearStart: z.int(),
  nextOrder: z.int().min(0),
});
export type RiskState = Readonly<z.infer<typeof RiskState>>;

/** An order and what was said about it: all that the state of a book is made of. */
export const Assessed = z.object({ order: Order, answer: Assessment });
export type Assessed = z.infer<typeof Assessed>;

export function openRiskState(limits: RiskLimits = defaultRiskLimits): RiskState {
  return {
    book: openBook(limits.capitalCents),
    highCents: limits.capitalCents,
    pausedUntil: "",
    year: "",
    realisedAtYearStart: 0,
    nextOrder: 0,
  };
}

/**
 * Judges an order, changing nothing. Equity is looked at when an order arrives, at that order's price. Only buying is
 * limited; reducing risk never is. Orders of a book must come in the order of their numbers (`OUT_OF_ORDER` otherwise).
 */
export function assess(
  state: RiskState,
  order: Order,
  limits: RiskLimits = defaultRiskLimits,
  rules: FillRules = defaultFillRules,
): Assessment {
  expectNext(state, order);
  const seen = look(state, order, limits);
  const allowed =
    order.side === "sell" ? sellable(seen, order) : buyable(seen, order, limits, rules);
  if (typeof allowed === "string")
    return { status: "rejected", orderId: order.id, reason: allowed };
  const { id, strategy, symbol, seq, date, side, priceCents } = order;
  const { fills: number, shares: held } = state.book;
  const approved = { id, strategy, symbol, seq, date, side, priceCents, shares: allowed, number };
  const reduced = allowed < Math.abs(order.targetShares - held);
  return { status: "approved", orderId: id, order: approved, reduced };
}

/** Refuses an order for a reason that is not the book's, in its turn (`OUT_OF_ORDER` otherwise). */
export function refuse(state: RiskState, order: Order, reason: RejectReason): Assessment {
  expectNext(state, order);
  return { status: "rejected", orderId: order.id, reason };
}

function expectNext(state: RiskState, order: Order): void {
  if (order.number === state.nextOrder) return;
  throw new TradingError(
    "OUT_OF_ORDER",
    `order ${order.id} has number ${order.number}, but ${bookKey(order)} expects ${state.nextOrder}`,
  );
}

/** The state after an assessment: the book is advanced by the fill that an approval must lead to. */
export function advance(
  state: RiskState,
  { order, answer }: Assessed,
  limits: RiskLimits = defaultRiskLimits,
  rules: FillRules = defaultFillRules,
): RiskState {
  const seen = look(state, order, limits);
  const book =
    answer.status === "approved" ? applyFill(seen.book, fill(answer.order, rules)) : seen.book;
  return { ...seen, book, nextOrder: state.nextOrder + 1 };
}

/** Risk for any number of books in one process; state is per book only, so no interleaving can change an answer. */
export function createRisk(
  limits: RiskLimits = defaultRiskLimits,
  rules: FillRules = defaultFillRules,
): { assess(order: Order, refusal?: RejectReason): Assessment } {
  const books = new Map<string, RiskState>();
  return {
    assess(order, refusal) {
      const key = bookKey(order);
      const state = books.get(key) ?? openRiskState(limits);
      const answer = refusal ? refuse(state, order, refusal) : assess(state, order, limits, rules);
      books.set(key, advance(state, { order, answer }, limits, rules));
      return answer;
    },
  };
}

/** The high, the pause and the year as this order's price shows them. */
function look(state: RiskState, order: Order, limits: RiskLimits): RiskState {
  const now = equity(state.book, order.priceCents);
  const highCents = Math.max(state.highCents, now);
  const year = order.date.slice(0, 4);
  const realisedAtYearStart =
    year === state.year ? state.realisedAtYearStart : state.book.realisedCents;
  const fallen = highCents - now;
  const seen = { ...state, highCents, year, realisedAtYearStart };
  if (times(fallen, 10_000) < times(highCents, limits.drawdownStopBps)) return seen;
  return { ...seen, pausedUntil: addDays(order.date, limits.cooldownDays), highCents: now };
}

function sellable({ book }: RiskState, order: Order): number | RejectReason {
  return book.shares > order.targetShares ? book.shares - order.targetShares : "nothing-to-sell";
}

function buyable(
  { book, pausedUntil, realisedAtYearStart }: RiskState,
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
