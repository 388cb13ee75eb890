import { type ClosingReport, closingReport } from "./closing-report.ts";
import { type Dataset, loadDataset } from "./dataset.ts";
import { type Decision, type Order, toOrder } from "./decision.ts";
import { EventTimeJoin, type JoinedInput } from "./event-time-join.ts";
import { defaultFillRules, type Fill, fill, type FillRules } from "./fill.ts";
import { createFundamental } from "./fundamental.ts";
import { barsOf } from "./instrument.ts";
import { type MacroMonth, macroCalendar } from "./macro.ts";
import { createPortfolio } from "./portfolio.ts";
import type { PortfolioReport } from "./report.ts";
import { createRisk, defaultRiskLimits, type RejectReason, type RiskLimits } from "./risk.ts";
import { createSentiment } from "./sentiment.ts";
import type { SentimentView } from "./sentiment-view.ts";
import { strategies } from "./strategies.ts";
import { createStrategy } from "./strategy.ts";
import { createTechnical } from "./technical.ts";
import { type Universe, universe } from "./universe.ts";

export interface SimulateOptions extends Universe {
  readonly dataset?: Dataset;
  /** Bars per symbol, for all or by symbol; absent: all of a real instrument, one length of the index of a synthetic. */
  readonly bars?: number | ((symbol: string) => number);
  /** The mood of each month, as it was recorded. Default: what the word list makes of the headlines. */
  readonly moods?: readonly SentimentView[];
  readonly limits?: RiskLimits;
  readonly rules?: FillRules;
  /** Why an order is refused before risk sees it. Default: none is. */
  readonly refusal?: (order: Order, input: JoinedInput) => RejectReason | undefined;
}

export interface Simulation {
  readonly signals: number;
  readonly decisions: Readonly<Record<Decision["action"], number>>;
  readonly orders: readonly Order[];
  readonly rejections: readonly { readonly order: Order; readonly reason: RejectReason }[];
  readonly reduced: number;
  readonly fills: readonly Fill[];
  readonly report: PortfolioReport;
  readonly closing: ClosingReport;
}

/**
 * The whole pipeline in one process, one symbol after the other: the reference that every distributed run over the same
 * universe must equal, fill by fill, whatever its processes, shards and interleavings.
 *
 * @example simulate().closing.ledgerHash
 */
export function simulate(options: SimulateOptions = {}): Simulation {
  const {
    dataset = loadDataset(),
    bars,
    limits = defaultRiskLimits,
    rules = defaultFillRules,
  } = options;
  const calendar = macroCalendar(dataset);
  const analysts = {
    technical: createTechnical(),
    join: new EventTimeJoin(),
    ...monthlyAnalysts(options.moods),
  };
  const desks = Object.values(strategies).map((spec) => createStrategy(spec, limits.capitalCents));
  const risk = createRisk(limits, rules);
  const portfolio = createPortfolio({ capitalCents: limits.capitalCents });

  const decisions = { hold: 0, buy: 0, sell: 0 };
  const orders: Order[] = [];
  const rejections: { order: Order; reason: RejectReason }[] = [];
  const fills: Fill[] = [];
  let signals = 0;
  let reduced = 0;
  let months = 0;

  function trade(decision: Decision, input: JoinedInput): void {
    decisions[decision.action] += 1;
    const order = toOrder(decision);
    if (order === undefined) return;
    orders.push(order);
    const assessment = risk.assess(order, options.refusal?.(order, input));
    if (assessment.status === "rejected") {
      rejections.push({ order, reason: assessment.reason });
      return;
    }
    reduced += assessment.reduced ? 1 : 0;
    const executed = fill(assessment.order, rules);
    fills.push(executed);
    portfolio.apply(executed);
  }

  for (const instrument of universe(dataset, options)) {
    const wanted = typeof bars === "function" ? bars(instrument.symbol) : bars;
    const whole = Math.min(instrument.length, dataset.index.length);
    for (const bar of barsOf(instrument, wanted ?? whole)) {
      for (; months < calendar.monthsBefore(bar.date); months += 1) {
        analysts.publish(calendar.at(months), analysts.join);
      }
      portfolio.mark(bar);
      const signal = analysts.technical.update(bar);
      if (signal === undefined) continue;
      signals += 1;
      for (const input of analysts.join.pushSignal(signal)) {
        for (const desk of desks) trade(desk.decide(input), input);
      }
    }
  }
  const report = portfolio.report();
  const closing = closingReport(report, rules);
  return { signals, decisions, orders, rejections, reduced, fills, report, closing };
}

/** The analysts whose views come once a month, before any bar that needs them. */
function monthlyAnalysts(moods?: readonly SentimentView[]): {
  publish(month: MacroMonth, join: EventTimeJoin): void;
} {
  const fundamental = createFundamental();
  const sentiment = createSentiment();
  return {
    publish({ employment, stocks, headlines }, join) {
      const views = [...fundamental.employment(employment), ...fundamental.stocks(stocks)];
      for (const view of views) join.pushFundamental(view);
      const recorded = moods?.[headlines.seq];
      const known = recorded === undefined ? sentiment.update(headlines) : [recorded];
      for (const view of known) join.pushSentiment(view);
    },
  };
}
