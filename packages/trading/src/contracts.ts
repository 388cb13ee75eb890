import { agent, topic } from "@plexus/core";
import * as z from "zod";
import { Bar } from "./bar.ts";
import { Order, StrategyName } from "./decision.ts";
import { ApprovedOrder, Fill } from "./fill.ts";
import { FundamentalView } from "./fundamental-view.ts";
import { LatencyCounts } from "./latency.ts";
import { EmploymentRelease, HeadlineDigest, StockCloses } from "./macro.ts";
import { PortfolioReport } from "./report.ts";
import { RejectReason } from "./risk.ts";
import { Role, RunPlan } from "./run-plan.ts";
import { SentimentView } from "./sentiment-view.ts";
import { MAX_SHARDS } from "./shard.ts";
import { TechnicalSignal } from "./technical-signal.ts";

const Count = z.int().min(0);
const Shard = z
  .int()
  .min(0)
  .max(MAX_SHARDS - 1);
/** Microseconds since the epoch. */
const Micros = z.int();

/**
 * Data topics carry items and, last, one end marker from every publisher that says how many items it sent there. It
 * travels behind them on the same subject, so whoever has seen it has seen them, or knows how many are missing.
 */
const End = { kind: z.literal("end"), count: Count };

/** What became of one bar. `dueAt` is when the bar was meant to be published, however late it was. */
const Timed = { shard: Shard, dueAt: Micros };

const BarEvent = Bar.safeExtend({ kind: z.literal("bar"), ...Timed });
const SignalEvent = TechnicalSignal.extend({ kind: z.literal("signal"), ...Timed });
export type SignalEvent = z.infer<typeof SignalEvent>;

const ShardEnd = z.object({ ...End, shard: Shard });

// Market data
export const Bars = topic("market.bars.{shard}", {
  description: "Open, high, low, close and volume, bar by bar",
  schema: z.discriminatedUnion("kind", [BarEvent, ShardEnd]),
});
/** The processes that publish bars on each shard: one of the index, one of the stocks. */
export const FEEDS_PER_SHARD = 2;

export const Employment = topic("market.employment", {
  description: "Monthly US employment releases",
  schema: z.discriminatedUnion("kind", [
    EmploymentRelease.extend({ kind: z.literal("month") }),
    z.object(End),
  ]),
});
export const Closes = topic("market.closes", {
  description: "Month-end closes of the monthly stocks",
  schema: z.discriminatedUnion("kind", [
    StockCloses.extend({ kind: z.literal("month") }),
    z.object(End),
  ]),
});
export const Headlines = topic("market.headlines", {
  description: "Headlines by month (hand-written sample text)",
  schema: z.discriminatedUnion("kind", [
    HeadlineDigest.extend({ kind: z.literal("month") }),
    z.object(End),
  ]),
});

// Analysis
export const Signals = topic("analysis.technical.{shard}", {
  description: "Indicators at the close of every bar",
  schema: z.discriminatedUnion("kind", [SignalEvent, ShardEnd]),
});
export const FundamentalViews = topic("analysis.fundamental", {
  description: "The economy as of one month",
  schema: z.discriminatedUnion("kind", [
    FundamentalView.extend({ kind: z.literal("view") }),
    z.object(End),
  ]),
});
export const SentimentViews = topic("analysis.sentiment", {
  description: "The mood of the news as of one month",
  schema: z.discriminatedUnion("kind", [
    SentimentView.extend({ kind: z.literal("view") }),
    z.object(End),
  ]),
});

// Running the desk
export const Commands = topic("desk.commands", {
  description: "What the desk asks of all processes",
  schema: z.discriminatedUnion("kind", [
    /** Subscribe to what this run needs, then say that you are ready. */
    z.object({ kind: z.literal("prepare"), plan: RunPlan }),
    /** Slot 0 is due at `startAt`. */
    z.object({ kind: z.literal("start"), startAt: Micros }),
    /** Publish the slots before this one and no more. */
    z.object({ kind: z.literal("stop"), limit: Count }),
    /** Everything is processed: send the last status; portfolios send their books first. */
    z.object({ kind: z.literal("finish") }),
  ]),
});
export type Command = z.infer<(typeof Commands)["schema"]>;

/** How far a process is; it only ever advances. */
export const Phase = z.enum(["up", "ready", "running", "done", "finished", "failed"]);
export type Phase = z.infer<typeof Phase>;

/** What one process tells of itself; counts are totals since its start. */
export const SeatStatus = z.object({
  seat: z.string(),
  role: Role,
  pid: z.int(),
  phase: Phase,
  /** Messages by hop. */
  sent: z.record(z.string(), Count),
  received: z.record(z.string(), Count),
  /** Messages that came again. */
  duplicates: Count,
  /** Decisions by action, rejections by reason and the like. */
  counts: z.record(z.string(), Count),
  latency: z.record(z.string(), LatencyCounts),
  inflight: Count,
  /** When this process last decided something; 0 if it never did. */
  lastAt: Micros,
  cpuMs: z.number().min(0),
  error: z.object({ code: z.string(), message: z.string() }).optional(),
});
export type SeatStatus = z.infer<typeof SeatStatus>;

export const Statuses = topic("desk.status", {
  description: "Counters and latencies of every process, twice a second",
  schema: SeatStatus,
});
export const Books = topic("desk.books", {
  description: "The books of one portfolio process at the end, in parts",
  schema: z.object({
    seat: z.string(),
    part: Count,
    parts: z.int().min(1),
    report: PortfolioReport,
  }),
});

// Agents
const status = {
  description: "Counters and latencies of this process",
  input: z.unknown(),
  output: SeatStatus,
  idempotent: true,
} as const;

const observed = (name: Role, description: string) =>
  agent(name, { description, version: "0.1.0", capabilities: { status } });

/** Callers pass on when the bar was due and when they sent the request, so that every hop can be timed. */
const Passed = { dueAt: Micros, sentAt: Micros };

export const Risk = agent("risk", {
  description: "Checks orders against the limits of their book and has them executed",
  version: "0.1.0",
  capabilities: {
    status,
    submit: {
      description: "Judges an order and, if approved, sees it filled",
      input: z.object({ order: Order, ...Passed }),
      output: z.discriminatedUnion("status", [
        z.object({ status: z.literal("filled"), fill: Fill, reduced: z.boolean() }),
        z.object({ status: z.literal("rejected"), reason: RejectReason }),
      ]),
      idempotent: true,
    },
  },
});

export const OrderDesk = agent("order", {
  description: "Executes approved orders at the close, with slippage and commission",
  version: "0.1.0",
  capabilities: {
    status,
    execute: {
      description: "Fills an order and has it booked",
      input: z.object({ order: ApprovedOrder, ...Passed }),
      output: Fill,
      idempotent: true,
    },
  },
});

export const Portfolio = agent("portfolio", {
  description: "Keeps the books: cash, shares and profit of every strategy in every symbol",
  version: "0.1.0",
  capabilities: {
    status,
    book: {
      description: "Books a fill, once however often it is sent",
      input: z.object({ fill: Fill, ...Passed }),
      output: z.enum(["applied", "duplicate", "held"]),
      idempotent: true,
    },
    report: {
      description: "The books of this instance now",
      input: z.unknown(),
      output: PortfolioReport,
      idempotent: true,
    },
  },
});

/** The contract of every role. */
export const agents = {
  index: observed("index", "Replays daily S&P 500 bars"),
  stocks: observed("stocks", "Replays monthly stock bars"),
  macro: observed("macro", "Replays employment, month-end closes and sample headlines"),
  technical: observed("technical", "Turns bars into indicators"),
  fundamental: observed("fundamental", "Reads the economy from employment and market breadth"),
  sentiment: observed("sentiment", "Scores headlines with a word list (lexicon mode, no model)"),
  trend: observed("trend", "Trades moving-average crossings"),
  reversion: observed("reversion", "Buys what has fallen too far"),
  regime: observed("regime", "Allocates by trend, economy and mood"),
  risk: Risk,
  order: OrderDesk,
  portfolio: Portfolio,
} as const satisfies Record<Role, unknown>;

/** Calls about one symbol go to one instance, so that its books have one owner. */
export const bySymbol = {
  placement: { strategy: "consistentHash", loadFactor: Infinity },
} as const;

/** The strategies are roles of the same names. */
export const strategyRoles: readonly StrategyName[] = StrategyName.options;
