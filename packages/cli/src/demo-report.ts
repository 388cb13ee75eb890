import type { ChaosCounts } from "./demo-chaos.ts";
import { hopNames, type Outcome } from "@plexus/trading";
import type { LlmTrial } from "./demo-llm-faults.ts";
import { count, gain, money, ms, percent, table } from "./demo-format.ts";

/** What a run has been put through. */
export interface Trials {
  readonly chaos?: ChaosCounts;
  readonly llm?: LlmTrial;
  /** Whether the ledger is that of a calm run. */
  readonly ledgerMatches?: boolean;
}

/** The closing report for a person. */
export function reportText(outcome: Outcome, broker: string, trials: Trials): string {
  const { closing, plan } = outcome;
  const { total } = closing;
  const synthetic = plan.symbols > 0;
  const lines = [
    "",
    synthetic
      ? `${count(plan.symbols)} synthetic symbols (derived from real S&P 500 bars, seed ${plan.seed}), ${closing.from} to ${closing.to}`
      : `S&P 500 daily and ${count(closing.bySymbol.length - 1)} stocks monthly, ${closing.from} to ${closing.to}`,
    ...(outcome.stopped ? ["Stopped early: the figures cover what was published until then."] : []),
    "",
    ...table(
      [
        [
          "profit or loss",
          gain(total.pnlCents),
          `${percent(total.returnBps)} of ${money(total.capitalCents)}`,
        ],
        ["buy and hold", gain(closing.buyAndHoldCents), "same symbols, same capital, same costs"],
        [
          "largest drawdown",
          percent(closing.maxDrawdownBps),
          `month-end to month-end; worst symbol ${percent(closing.worstSymbolDrawdownBps)}`,
        ],
        ["costs", money(total.feesCents), "commissions; slippage is in the prices"],
      ].map(([name = "", value = "", note = ""]) => [name, value, ` ${note}`]),
    ),
    "",
    ...strategyTable(outcome),
    "",
    ...orderLines(outcome),
    "",
    ...latencyTable(outcome),
    "",
    ...throughputLines(outcome, broker),
    ...trialLines(outcome, trials),
    "",
    ...modelLines(outcome, trials),
    "",
    "  Headlines are hand-written samples, written with hindsight: what the strategies earn shows the plumbing and is no",
    "  evidence of skill.",
    "",
  ];
  return lines.join("\n");
}

/** What `--json` ends with. */
export function reportJson(
  outcome: Outcome,
  broker: string,
  { chaos, llm, ledgerMatches }: Trials,
): Record<string, unknown> {
  const { closing, decisions, latency } = outcome;
  const { mean = 0, p50 = 0, p99 = 0 } = latency["decision"] ?? {};
  return {
    signals: outcome.signals,
    decisions: decisions.hold + decisions.buy + decisions.sell,
    orders: outcome.orders,
    fills: outcome.fills,
    rejected: outcome.rejected,
    lost: outcome.lost,
    duplicates: outcome.duplicates,
    ledgerHash: closing.ledgerHash,
    pnlCents: closing.total.pnlCents,
    buyAndHoldCents: closing.buyAndHoldCents,
    latencyMs: { mean: round(mean), p50: round(p50), p99: round(p99) },
    signalsPerSecond: round(outcome.signalsPerSecond),
    processes: outcome.processes,
    seconds: round(outcome.seconds),
    broker,
    sentiment: outcome.read,
    commentary: outcome.written,
    degraded: reasonsOf(outcome),
    ...chaos,
    ...(llm === undefined ? {} : { llm }),
    ...(ledgerMatches === undefined ? {} : { ledgerMatches }),
    ...(outcome.stopped ? { stopped: true } : {}),
    ...(outcome.error === undefined ? {} : { error: outcome.error }),
  };
}

function strategyTable({ closing }: Outcome): string[] {
  return table([
    ["strategy", "profit or loss", "return", "fills", "hit rate", "worst drawdown of a book"],
    ...closing.byStrategy.map((row) => [
      row.strategy,
      gain(row.pnlCents),
      percent(row.returnBps),
      count(row.fills),
      row.hitRate === null ? "–" : `${Math.round(row.hitRate * 100)} %`,
      percent(row.worstBookDrawdownBps),
    ]),
  ]);
}

function orderLines({ signals, decisions, orders, fills, rejected, reduced, rejections }: Outcome) {
  const decided = decisions.hold + decisions.buy + decisions.sell;
  const reasons = Object.entries(rejections).map(([reason, times]) => `${reason} ${count(times)}`);
  return [
    `  ${count(signals)} signals, ${count(decided)} decisions, ${count(orders)} orders (${count(decisions.buy)} buy, ${count(decisions.sell)} sell): ` +
      `${count(fills)} filled, ${count(reduced)} of them reduced, ${count(rejected)} rejected`,
    ...(reasons.length === 0 ? [] : [`  rejected by risk: ${reasons.join(", ")}`]),
  ];
}

function latencyTable({ latency }: Outcome): string[] {
  return table([
    ["latency in ms", "mean", "p50", "p99", "max", "messages"],
    ...Object.entries(hopNames).flatMap(([hop, name]) => {
      const row = latency[hop];
      if (row === undefined || row.count === 0) return [];
      return [[name, ms(row.mean), ms(row.p50), ms(row.p99), ms(row.max), count(row.count)]];
    }),
  ]);
}

function throughputLines(outcome: Outcome, broker: string): string[] {
  const { plan, lost, duplicates, flows, closing } = outcome;
  const leaks = flows
    .filter(({ expected, received }) => expected > received)
    .map(
      ({ from, to, what, expected, received }) =>
        `  LOST ${count(expected - received)} of ${count(expected)} ${what} from ${from} to ${to}`,
    );
  return [
    `  ${count(outcome.signalsPerSecond)} signals/s for ${outcome.seconds.toFixed(1)} s (offered ${count(plan.rate)}/s) ` +
      `by ${outcome.processes} processes on nats-server ${broker}`,
    `  lost ${count(lost)}, duplicates ${count(duplicates)}`,
    ...leaks,
    ...(outcome.error === undefined ? [] : [`  ${outcome.error.code}: ${outcome.error.message}`]),
    `  ledger ${closing.ledgerHash}`,
  ];
}

function trialLines(outcome: Outcome, { chaos, ledgerMatches }: Trials): string[] {
  const lines = chaos === undefined ? [] : chaosLines(outcome, chaos);
  if (ledgerMatches === undefined) return lines;
  return [
    ...lines,
    ledgerMatches
      ? "  the ledger is the one of the calm run (computed in one process)"
      : "  THE LEDGER IS NOT the one of the calm run (computed in one process)",
  ];
}

function chaosLines({ executions, orders }: Outcome, chaos: ChaosCounts): string[] {
  const { kills, brokerRestarts } = chaos;
  const again = executions - orders;
  return [
    `  chaos: ${count(kills)} processes killed, the broker ${brokerRestarts === 0 ? "not (it is not ours, or the run did not get to its middle)" : "once"}` +
      (again > 0
        ? `; at least ${count(again)} orders begun a second time, each recorded once`
        : ""),
  ];
}

function modelLines(outcome: Outcome, { llm }: Trials): string[] {
  const { read, written, notes, degraded } = outcome;
  const model = llm === undefined ? "the model" : "the stub model";
  const asked = read.model + written.model + degraded > 0;
  const last = notes.at(-1)?.event;
  return [
    ...(asked
      ? [
          `  months with headlines: ${count(read.model)} read by ${model}, ${count(read.lexicon)} by the word list instead; ` +
            `notes: ${count(written.model)} written by ${model}, ${count(written.template)} by the template instead`,
          `  degraded because of: ${reasonsText(outcome)}`,
        ]
      : [
          "  No model: sentiment runs in lexicon mode (a word list), commentary by a template. PLEXUS_LLM_BASE_URL and _MODEL name one.",
        ]),
    ...(llm === undefined ? [] : llmLines(llm)),
    ...(last === undefined
      ? []
      : [`  last note (${last.mode === "model" ? model : "template"}): ${last.text}`]),
  ];
}

/** Why a model did not read or write what it was asked for, by error code. */
function reasonsOf({ moods, notes }: Outcome): Record<string, number> {
  const reasons: Record<string, number> = {};
  for (const { event } of [...moods, ...notes]) {
    if (event.reason !== undefined) reasons[event.reason] = (reasons[event.reason] ?? 0) + 1;
  }
  return reasons;
}

function reasonsText(outcome: Outcome): string {
  const why = Object.entries(reasonsOf(outcome)).map(([code, times]) => `${code} ${count(times)}`);
  return why.length === 0 ? "nothing" : why.join(", ");
}

function llmLines({ requests, answered, recoveredMs }: LlmTrial): string[] {
  return [
    `  the stub got ${count(requests)} requests and answered ${count(answered)}`,
    recoveredMs === null
      ? "  NO MODEL'S ANSWER after the outage"
      : `  the first answer after the outage was used ${(recoveredMs / 1_000).toFixed(1)} s after its end`,
  ];
}

function round(value: number): number {
  return Math.round(value * 1_000) / 1_000;
}
