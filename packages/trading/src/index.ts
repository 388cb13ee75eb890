// Market data
export { Bar, Interval } from "./bar.ts";
export { addMonths, monthOf } from "./calendar.ts";
export { type Dataset, loadDataset } from "./dataset.ts";
export { Headline, sampleHeadlines } from "./headlines-sample.ts";
export { barsOf, type Instrument, realInstruments } from "./instrument.ts";
export {
  EmploymentRelease,
  HeadlineDigest,
  type MacroCalendar,
  macroCalendar,
  type MacroMonth,
  StockCloses,
} from "./macro.ts";
export { syntheticSymbols } from "./synthetic.ts";

// Analysis
export { createFundamental, type Fundamental } from "./fundamental.ts";
export { FundamentalView } from "./fundamental-view.ts";
export {
  createSentiment,
  lexiconReading,
  lexiconScore,
  type Reading,
  type Sentiment,
} from "./sentiment.ts";
export { SentimentView } from "./sentiment-view.ts";
export {
  createTechnical,
  defaultWindows,
  type Technical,
  type TechnicalWindows,
} from "./technical.ts";
export { TechnicalSignal } from "./technical-signal.ts";

export { Note } from "./commentary.ts";

// Strategy
export { bookKey, Decision, Order, StrategyName, toOrder } from "./decision.ts";
export {
  EventTimeJoin,
  type EventTimeJoinOptions,
  type EventTimeJoinStats,
  type JoinedInput,
} from "./event-time-join.ts";
export { strategies } from "./strategies.ts";
export { createStrategy, type Strategy, type StrategySpec } from "./strategy.ts";

// Execution
export { ApprovedOrder, defaultFillRules, Fill, fill, type FillRules } from "./fill.ts";
export { InOrder } from "./in-order.ts";
export { createPortfolio, type Portfolio, type PortfolioOptions } from "./portfolio.ts";
export {
  Assessment,
  createRisk,
  defaultRiskLimits,
  RejectReason,
  type RiskLimits,
} from "./risk.ts";

// Large orders
export {
  Analyst,
  Approval,
  ApprovalRequest,
  isVotedDown,
  LargeOrders,
  Opinion,
  opinionOf,
  Review,
  reviewOf,
} from "./large-order.ts";
export { type Endings, type LargeOrder, largeOrderGraph, seeThrough } from "./large-order-graph.ts";

// Reporting
export { buyAndHold } from "./buy-and-hold.ts";
export { type ClosingReport, closingReport, type Summary } from "./closing-report.ts";
export type { Mark } from "./equity-curve.ts";
export { TradingError, type TradingErrorCode } from "./errors.ts";
export { ledgerHash } from "./ledger.ts";
export { BookReport, PortfolioReport, SymbolReport } from "./report.ts";
export { simulate, type SimulateOptions, type Simulation } from "./simulate.ts";
export { uniform } from "./random.ts";
export { type Universe, universe } from "./universe.ts";

// The distributed application
export { agents as tradingAgents, OrderAnswer, entities as tradingEntities } from "./contracts.ts";
export { namesModel } from "./agents/models.ts";
export type { Recorded } from "./agents/recorded.ts";
export { ApprovalRequests, Approvals, Phase, SeatStatus } from "./desk-topics.ts";
export { Desk, type DeskPatience, type Progress } from "./desk.ts";
export { barsBefore, type FeedSchedule, feedSchedule, type Slot } from "./feed-schedule.ts";
export { Latency, type LatencySummary } from "./latency.ts";
export { type Figures, type Flow, hopNames, type Outcome } from "./outcome.ts";
export { MAX_REPLICAS, planRun, Role, RunPlan } from "./run-plan.ts";
export { takeSeat } from "./agents/seat.ts";
