import * as z from "zod";
import type { Order } from "./decision.ts";
import type { JoinedInput } from "./event-time-join.ts";
import { FundamentalView } from "./fundamental-view.ts";
import { times } from "./money.ts";
import { SentimentView } from "./sentiment-view.ts";
import { TechnicalSignal } from "./technical-signal.ts";

/** From which size on orders are looked at twice, in cents of the position that is wanted. Only buying is: reducing risk never waits. */
export const LargeOrders = z.object({
  /** Above it, the analysts vote. */
  reviewAboveCents: z.int().min(0),
  /** Above it, a human has to approve as well. */
  approveAboveCents: z.int().min(0),
});
export type LargeOrders = z.infer<typeof LargeOrders>;

/** Why an order is reviewed, and what its strategy knew: the views as of its bar, so that the vote is the same whoever holds it when. */
export const Review = z.object({
  notionalCents: z.int().min(0),
  /** Whether a human has to approve. */
  approval: z.boolean(),
  signal: TechnicalSignal,
  fundamental: FundamentalView,
  sentiment: SentimentView,
});
export type Review = z.infer<typeof Review>;

/** The review that an order needs, if it needs one. */
export function reviewOf(
  order: Order,
  { signal, fundamental, sentiment }: JoinedInput,
  limits: LargeOrders | undefined,
): Review | undefined {
  if (limits === undefined || order.side === "sell") return undefined;
  const notionalCents = times(order.targetShares, order.priceCents);
  if (notionalCents <= limits.reviewAboveCents) return undefined;
  const approval = notionalCents > limits.approveAboveCents;
  return { notionalCents, approval, signal, fundamental, sentiment };
}

export const Analyst = z.enum(["technical", "fundamental", "sentiment"]);
export type Analyst = z.infer<typeof Analyst>;

/** What an analyst says about buying. */
export const Opinion = z.object({
  analyst: Analyst,
  vote: z.enum(["for", "against", "abstains"]),
  why: z.string(),
});
export type Opinion = z.infer<typeof Opinion>;

const OVERBOUGHT_RSI = 70;
/** Moods this near to 0 are none. */
const NO_MOOD = 0.05;

const analysts: Record<Analyst, (review: Review) => Omit<Opinion, "analyst">> = {
  technical({ signal: { closeCents, smaSlow, rsi } }) {
    if (rsi !== null && rsi >= OVERBOUGHT_RSI) return { vote: "against", why: "overbought" };
    if (smaSlow === null) return { vote: "abstains", why: "warming up" };
    return closeCents >= smaSlow
      ? { vote: "for", why: "above its slow average" }
      : { vote: "against", why: "below its slow average" };
  },
  fundamental({ fundamental: { regime } }) {
    const votes = { expansion: "for", neutral: "abstains", contraction: "against" } as const;
    return { vote: votes[regime], why: regime };
  },
  sentiment({ sentiment: { level } }) {
    const vote = Math.abs(level) < NO_MOOD ? "abstains" : level > 0 ? "for" : "against";
    return { vote, why: `mood ${level.toFixed(2)}` };
  },
};

/** What an analyst says about an order. Pure: the same review is judged alike. */
export function opinionOf(analyst: Analyst, review: Review): Opinion {
  return { analyst, ...analysts[analyst](review) };
}

/** Not unless more are against it than for it. */
export function isVotedDown(opinions: readonly Opinion[]): boolean {
  const votes = (vote: Opinion["vote"]): number =>
    opinions.filter((opinion) => opinion.vote === vote).length;
  return votes("against") > votes("for");
}

/** What a human is asked. */
export const ApprovalRequest = z.object({
  order: z.string(),
  strategy: z.string(),
  symbol: z.string(),
  notionalCents: z.int().min(0),
  opinions: z.array(Opinion).readonly(),
});
export type ApprovalRequest = z.infer<typeof ApprovalRequest>;

/** What a human says. The first word about an order counts. */
export const Approval = z.object({ order: z.string(), approved: z.boolean(), by: z.string() });
export type Approval = z.infer<typeof Approval>;
