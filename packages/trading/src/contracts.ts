import { agent, entity } from "@plexus/core";
import * as z from "zod";
import { applyFill, Book, openBook } from "./book.ts";
import { Order, StrategyName } from "./decision.ts";
import { SeatStatus } from "./desk-topics.ts";
import { Fill } from "./fill.ts";
import { Review } from "./large-order.ts";
import {
  advance,
  Assessed,
  Assessment,
  defaultRiskLimits,
  openRiskState,
  RejectReason,
  RiskState,
} from "./risk.ts";
import type { Role } from "./run-plan.ts";

/** Microseconds since the epoch. */
const Micros = z.int();

const status = {
  description: "Counters and latencies of this process",
  input: z.unknown(),
  output: SeatStatus,
  idempotent: true,
} as const;

const observed = (name: Role, description: string) =>
  agent(name, { description, version: "0.1.0", capabilities: { status } });

/** The answer to an order, recorded once. */
export const OrderAnswer = z.discriminatedUnion("status", [
  z.object({ status: z.literal("filled"), fill: Fill, reduced: z.boolean() }),
  z.object({ status: z.literal("rejected"), reason: RejectReason }),
]);
export type OrderAnswer = z.infer<typeof OrderAnswer>;

/** An order is a task, its id the key: however often it is submitted and executed, one answer is recorded. */
export const OrderDesk = agent("order", {
  description: "Has orders judged by risk, executes them at the close and has them booked",
  version: "0.1.0",
  capabilities: {
    status,
    execute: {
      description: "Sees an order through to its answer",
      // When the bar was due and when the order was submitted, so that every hop can be timed.
      input: z.object({ order: Order, dueAt: Micros, sentAt: Micros, review: Review.optional() }),
      output: OrderAnswer,
      durable: {
        ackWait: "1s",
        deliveries: 100,
        retry: { attempts: 100, first: "100ms", max: "2s" },
      },
    },
  },
});

/** Few enough to be taken over in a moment, and more than the replicas that a role can have. */
const sharded = { version: "0.1.0", partitions: 16, lease: "2s" } as const;

/** One book's limits, keyed by `bookKey`. */
export const Risk = entity("risk", {
  ...sharded,
  description: "Judges the orders of a book against its limits",
  state: RiskState,
  initial: openRiskState(),
  events: { assessed: Assessed },
  fold: { assessed: (state, event) => advance(state, event) },
  commands: {
    assess: { input: Order, output: Assessment },
    refuse: {
      description: "Notes that an order is refused for a reason that is not the book's",
      input: z.object({ order: Order, reason: RejectReason }),
      output: Assessment,
    },
  },
});

/** One book, keyed by `bookKey`: cash, shares and profit of a strategy in a symbol. Its log is the ledger. */
export const Portfolio = entity("portfolio", {
  ...sharded,
  description: "Keeps a book: what its strategy holds in its symbol, and every fill that led there",
  state: z.object({ book: Book, fills: z.array(Fill) }),
  initial: { book: openBook(defaultRiskLimits.capitalCents), fills: [] },
  events: { booked: Fill },
  fold: {
    booked: ({ book, fills }, fill) => ({ book: applyFill(book, fill), fills: [...fills, fill] }),
  },
  commands: {
    record: {
      description: "Books a fill, once however often it is sent",
      input: Fill,
      output: z.enum(["booked", "duplicate"]),
    },
    fills: {
      description: "Recorded fills from a number on, a page at a time",
      input: z.object({ from: z.int().min(0) }),
      output: z.object({ fills: z.array(Fill), total: z.int().min(0) }),
    },
  },
});

export const entities = { risk: Risk, portfolio: Portfolio } as const;

/** The agents of the other roles. */
export const agents = {
  index: observed("index", "Replays daily S&P 500 bars"),
  stocks: observed("stocks", "Replays monthly stock bars"),
  macro: observed("macro", "Replays employment, month-end closes and sample headlines"),
  technical: observed("technical", "Turns bars into indicators"),
  fundamental: observed("fundamental", "Reads the economy from employment and market breadth"),
  sentiment: observed(
    "sentiment",
    "Scores headlines with a language model, or without one by a word list",
  ),
  commentary: observed("commentary", "Writes a note about every quarter, by a model or a template"),
  trend: observed("trend", "Trades moving-average crossings"),
  reversion: observed("reversion", "Buys what has fallen too far"),
  regime: observed("regime", "Allocates by trend, economy and mood"),
  order: OrderDesk,
} as const satisfies Partial<Record<Role, unknown>>;

/** The strategies are roles of the same names. */
export const strategyRoles: readonly StrategyName[] = StrategyName.options;
