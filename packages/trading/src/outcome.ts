import { type ClosingReport, closingReport } from "./closing-report.ts";
import { strategyRoles } from "./contracts.ts";
import type { SeatStatus } from "./desk-topics.ts";
import { type LatencySummary, mergeLatencies } from "./latency.ts";
import type { PortfolioReport } from "./report.ts";
import type { Note } from "./commentary.ts";
import type { Role, RunPlan } from "./run-plan.ts";
import type { SentimentView } from "./sentiment-view.ts";
import type { StoredRun } from "./stored-run.ts";

/** What went between two layers: what the senders counted against what the receivers counted, or what is stored. */
export interface Flow {
  readonly from: string;
  readonly to: string;
  readonly what: string;
  /** What should have been received: sent, times the receivers that each get a copy. */
  readonly expected: number;
  readonly received: number;
}

/** The figures of a run so far or at its end, summed over all processes. */
export interface Figures {
  readonly bars: number;
  readonly signals: number;
  readonly decisions: Readonly<Record<"hold" | "buy" | "sell", number>>;
  readonly orders: number;
  /** Orders whose recorded answer is a fill. */
  readonly fills: number;
  readonly rejected: number;
  readonly rejections: Readonly<Record<string, number>>;
  /** Orders approved for fewer shares than they asked for. */
  readonly reduced: number;
  /** Months with headlines by who read them, quarters by who wrote about them. */
  readonly read: Readonly<Record<SentimentView["mode"], number>>;
  readonly written: Readonly<Record<Note["mode"], number>>;
  /** Of these, what a model was asked for and did not come by it. */
  readonly degraded: number;
  /** Times that the order processes began with an order: more than orders where one was killed at work. */
  readonly executions: number;
  readonly duplicates: number;
  readonly flows: readonly Flow[];
  /** By hop, see `hopNames`. */
  readonly latency: Readonly<Record<string, LatencySummary>>;
}

/** What a latency measures, in the order of a signal's way. */
export const hopNames = {
  late: "publisher's delay",
  bars: "market data → technical",
  months: "macro → fundamental, sentiment",
  views: "fundamental, sentiment → strategy",
  signals: "technical → strategy",
  orders: "strategy → order",
  assessed: "order → risk → order",
  fills: "order → portfolio → order",
  answers: "order → recorded answer",
  decision: "bar due → decision",
  booked: "bar due → fill booked",
} as const;

/** A run that has ended. */
export interface Outcome extends Figures {
  readonly plan: RunPlan;
  /** Ended before its time by request. */
  readonly stopped: boolean;
  readonly report: PortfolioReport;
  readonly closing: ClosingReport;
  /** What was read and written in the course of the run, in order. */
  readonly moods: StoredRun["moods"];
  readonly notes: StoredRun["notes"];
  /** Messages that were sent and never processed; must be 0. */
  readonly lost: number;
  /** From the moment the first bar was due until the last decision. */
  readonly seconds: number;
  readonly signalsPerSecond: number;
  readonly processes: number;
  /** Why the run is incomplete, if it is. */
  readonly error?: { readonly code: string; readonly message: string };
}

export function figures(seats: readonly SeatStatus[], plan: RunPlan): Figures {
  const flows = flowsOf(seats, plan);
  const counted = new Map<string, number>();
  for (const { counts } of seats) {
    for (const [name, value] of Object.entries(counts)) {
      counted.set(name, (counted.get(name) ?? 0) + value);
    }
  }
  const count = (name: string): number => counted.get(name) ?? 0;
  const rejections = Object.fromEntries(
    [...counted]
      .filter(([name]) => name.startsWith(REJECTED))
      .map(([name, value]) => [name.slice(REJECTED.length), value] as const)
      .toSorted(([, a], [, b]) => b - a),
  );
  return {
    bars: sum(seats, ["index", "stocks"], "sent", "bars"),
    signals: sum(seats, ["technical"], "sent", "signals"),
    decisions: { hold: count("hold"), buy: count("buy"), sell: count("sell") },
    orders: sum(seats, strategyRoles, "sent", "orders"),
    fills: count("filled"),
    rejected: Object.values(rejections).reduce((total, value) => total + value, 0),
    rejections,
    reduced: count("reduced"),
    read: { model: count("read:model"), lexicon: count("read:lexicon") },
    written: { model: count("written:model"), template: count("written:template") },
    degraded: count("degraded"),
    executions: sum(seats, ["order"], "received", "orders"),
    duplicates: seats.reduce((total, { duplicates }) => total + duplicates, 0),
    flows,
    latency: Object.fromEntries(
      Object.keys(hopNames).map((hop) => [
        hop,
        mergeLatencies(seats.map(({ latency }) => latency[hop])).summary(),
      ]),
    ),
  };
}

/** The figures of a run that has ended, with its books. What was lost or doubled is told by what is stored. */
export function outcome(
  seats: readonly SeatStatus[],
  run: Pick<Outcome, "plan" | "stopped"> & {
    readonly stored: StoredRun;
    readonly startAtUs: number;
    readonly error?: Outcome["error"] | undefined;
  },
): Outcome {
  const { plan, stopped, stored, startAtUs, error } = run;
  const { report } = stored;
  const told = figures(seats, plan);
  const totals = {
    ...told,
    fills: stored.fills,
    duplicates: told.duplicates + stored.duplicates + stored.surplusFills + report.duplicates,
    flows: [
      ...told.flows,
      flow("market data", "store", "bars", told.bars, stored.bars),
      flow("order", "ledger", "fills", told.fills, stored.fills),
    ],
  };
  const lastAt = seats.reduce((latest, seat) => Math.max(latest, seat.lastAt), startAtUs);
  const seconds = (lastAt - startAtUs) / 1e6;
  const skipped = seats.reduce((total, seat) => total + seat.missing, 0);
  const missing = totals.flows.reduce(
    (total, { expected, received }) => total + Math.max(0, expected - received),
    0,
  );
  return {
    ...totals,
    plan,
    stopped,
    report,
    closing: closingReport(report),
    moods: stored.moods,
    notes: stored.notes,
    lost: missing + stored.missing + report.held + skipped,
    seconds,
    signalsPerSecond: seconds === 0 ? 0 : totals.signals / seconds,
    processes: seats.length,
    ...(error === undefined ? {} : { error }),
  };
}

const REJECTED = "rejected:";

function flowsOf(seats: readonly SeatStatus[], { replicas }: RunPlan): Flow[] {
  const sent = (roles: readonly Role[], hop: string) => sum(seats, roles, "sent", hop);
  const received = (roles: readonly Role[], hop: string) => sum(seats, roles, "received", hop);
  const bars = sent(["index", "stocks"], "bars");
  const months = sent(["macro"], "months");
  const views = sent(["fundamental", "sentiment"], "views");
  const signals = sent(["technical"], "signals");
  const decisions = seats.reduce(
    (total, { counts }) =>
      total + (counts["hold"] ?? 0) + (counts["buy"] ?? 0) + (counts["sell"] ?? 0),
    0,
  );
  const answers = seats.reduce(
    (total, { counts }) => total + (counts["filled"] ?? 0) + rejectionsOf(counts),
    0,
  );
  const strategyReplicas = strategyRoles.reduce((total, role) => total + replicas[role], 0);
  return [
    flow("market data", "technical", "bars", bars, received(["technical"], "bars")),
    flow(
      "macro",
      "analysts",
      "months",
      months * (replicas.fundamental + replicas.sentiment),
      received(["fundamental", "sentiment"], "months"),
    ),
    flow(
      "analysts",
      "strategies",
      "views",
      views * strategyReplicas,
      received(strategyRoles, "views"),
    ),
    flow(
      "analysts",
      "commentary",
      "views",
      views * replicas.commentary,
      received(["commentary"], "views"),
    ),
    flow("technical", "strategies", "signals", signals * 3, received(strategyRoles, "signals")),
    flow("strategies", "strategies", "decisions", received(strategyRoles, "signals"), decisions),
    flow("strategies", "order", "orders", sent(strategyRoles, "orders"), answers),
  ];
}

function rejectionsOf(counts: Readonly<Record<string, number>>): number {
  return Object.entries(counts).reduce(
    (total, [name, value]) => total + (name.startsWith(REJECTED) ? value : 0),
    0,
  );
}

function flow(from: string, to: string, what: string, expected: number, received: number): Flow {
  return { from, to, what, expected, received };
}

function sum(
  seats: readonly SeatStatus[],
  roles: readonly Role[],
  direction: "sent" | "received",
  hop: string,
): number {
  return seats
    .filter(({ role }) => roles.includes(role))
    .reduce((total, seat) => total + (seat[direction][hop] ?? 0), 0);
}
