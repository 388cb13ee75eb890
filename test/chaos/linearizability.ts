import { checkLinearizability, seededRandom, type Operation, type Verdict } from "@plexus/testing";
import type { Campaign, CampaignOutcome } from "./campaign.ts";
import { disturbAll, drawDisturbances, type Disturbance, type Fault } from "./disturbance.ts";
import { RegisterCrew } from "./register-crew.ts";
import { registerModel, type Answer, type Request } from "./register.ts";
import { measureFrozen, measureStaleness, type Staleness } from "./staleness.ts";

export interface LinearizabilityPlan {
  readonly seed: number;
  readonly runs: number;
  /** How long clients work in each run; what they wait for then may take longer. */
  readonly runMs: number;
  /** How long each measurement of staleness takes; 0: none. */
  readonly stalenessMs: number;
  readonly built: boolean;
}

export interface LinearizabilityReport {
  readonly runs: number;
  readonly operations: number;
  /** Of them, those whose outcome nobody knows. */
  readonly unknown: number;
  readonly faults: Readonly<Record<string, number>>;
  /** What no order explains, in words. */
  readonly violations: readonly string[];
  /** Runs that could not be decided. */
  readonly undecided: readonly string[];
  /** Runs of a client that takes its copy for the truth, until the checker found it out. 0: it did not. */
  readonly foundAfter: number;
  readonly calm: Staleness | undefined;
  readonly paused: Staleness | undefined;
}

type History = Operation<Request, Answer>[];

const READY_MS = 90_000;
const PAUSE_MS = 15; // at most, between two operations of a client on a register
const BROKEN_RUNS = 5;
const NODE_PAUSED_MS = 3_000;
const TOLD = 6;

export const linearizabilityCampaign: Campaign = {
  summary:
    "registers of entities and shared state, while three brokers are killed, hang and are parted",
  async run({ seed, scale, log }) {
    const runs = Math.max(3, Math.round(200 * scale));
    const plan = { seed, runs, runMs: 5_000, stalenessMs: 8_000, built: true };
    return outcomeOf(await runLinearizability(plan, log));
  },
};

function outcomeOf(report: LinearizabilityReport): CampaignOutcome {
  const { runs, operations, unknown, faults, violations, undecided, foundAfter } = report;
  const injected = Object.entries(faults).map(([fault, count]) => `${fault} ${count}`);
  return {
    ok: violations.length === 0 && undecided.length === 0 && foundAfter > 0,
    figures: { ...report },
    lines: [
      `runs        ${runs}, ${violations.length} with a violation, ${undecided.length} undecided`,
      `operations  ${operations} checked, of ${unknown} of which nobody knows the outcome`,
      `faults      ${injected.join(", ")}`,
      `broken      a client that takes its copy for the truth is ${foundAfter > 0 ? `found out in run ${foundAfter}` : "NOT found out"}`,
      ...staleness("calm", report.calm),
      ...staleness("node paused", report.paused),
      ...[...violations, ...undecided].slice(0, 20),
    ],
  };
}

function staleness(when: string, found: Staleness | undefined): string[] {
  if (found === undefined) return [];
  const { reads, p50, p99, max } = found;
  const ages = `median ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms, most ${max.toFixed(0)} ms`;
  return [`stale       ${when}: ${ages} (${reads} eventual reads)`];
}

/** Lets clients work on registers while things break, run after run, and judges what they were answered. */
export async function runLinearizability(
  plan: LinearizabilityPlan,
  log: (line: string) => void,
): Promise<LinearizabilityReport> {
  await using crew = await RegisterCrew.start(plan.built);
  const faults: Partial<Record<Fault, number>> = {};
  const violations: string[] = [];
  const undecided: string[] = [];
  let operations = 0;
  let unknown = 0;
  for (let run = 1; run <= plan.runs; run++) {
    const seed = plan.seed * 1_000 + run;
    const disturbances = drawDisturbances(seededRandom(seed), plan.runMs);
    const history = await runOnce(crew, seed, plan.runMs, disturbances, false);
    operations += history.length;
    unknown += history.filter(({ output }) => output === undefined).length;
    for (const { fault } of disturbances) faults[fault] = (faults[fault] ?? 0) + 1;
    const verdict = checkLinearizability(history, registerModel);
    if (verdict.kind === "violated") violations.push(`run ${run}: ${tell(verdict)}`);
    if (verdict.kind === "undecided") undecided.push(`run ${run}: ${verdict.partition} undecided`);
    const what = disturbances.map(({ fault, victim }) => `${fault} ${victim}`).join(", ");
    log(`run ${run}: ${history.length} operations, ${what}: ${verdict.kind}`);
    if (verdict.kind === "violated") log(tell(verdict));
  }
  const foundAfter = await findBroken(crew, plan, log);
  const { stalenessMs: ms } = plan;
  const calm = ms > 0 ? await measureStaleness(crew, "calm", ms) : undefined;
  const paused = ms > 0 ? await measureFrozen(crew, "frozen", ms, NODE_PAUSED_MS) : undefined;
  const { runs } = plan;
  return { runs, operations, unknown, faults, violations, undecided, foundAfter, calm, paused };
}

async function runOnce(
  crew: RegisterCrew,
  seed: number,
  ms: number,
  disturbances: readonly Disturbance[],
  broken: boolean,
): Promise<History> {
  const name = `${broken ? "b" : ""}${seed}`;
  const keys = broken ? [`s ${name}`] : [`s1 ${name}`, `s2 ${name}`, `e1 ${name}`, `e2 ${name}`];
  const faults = disturbances.length > 0;
  const working = crew.run({ seed, keys, ms, pauseMs: PAUSE_MS, faults, broken });
  const [history] = await Promise.all([working, breakAndMend(crew, disturbances)]);
  return history;
}

async function breakAndMend(
  crew: RegisterCrew,
  disturbances: readonly Disturbance[],
): Promise<void> {
  await disturbAll(crew.cluster, crew, disturbances);
  await crew.cluster.heal();
  await crew.cluster.ready(READY_MS);
}

/** A checker that never finds anything proves nothing. */
async function findBroken(
  crew: RegisterCrew,
  { seed, runMs }: LinearizabilityPlan,
  log: (line: string) => void,
): Promise<number> {
  for (let run = 1; run <= BROKEN_RUNS; run++) {
    const victim = 1 + (run % 2); // a reader's server: one of the two does not lead
    const parted: Disturbance = { fault: "hold", victim, afterMs: runMs / 4, forMs: runMs / 2 };
    // Until it is found.
    const history = await runOnce(crew, seed * 1_000 + run, runMs, [parted], true);
    const verdict = checkLinearizability(history, registerModel);
    if (verdict.kind === "violated") {
      log(`broken client found out: ${tell(verdict)}`);
      return run;
    }
  }
  return 0;
}

function tell(verdict: Extract<Verdict<Request, Answer>, { kind: "violated" }>): string {
  const { partition, explained, unexplained } = verdict;
  const last = explained.slice(-TOLD).map(words);
  return `${partition}: after ${last.join("; ")} nothing explains ${words(unexplained)}`;
}

function words({
  client,
  input,
  output,
  calledAt,
  answeredAt,
}: Operation<Request, Answer>): string {
  const { do: what, from, to } = input;
  const asked = [
    what,
    ...(from === undefined ? [] : [`${from}→`]),
    ...(what === "read" ? [] : [to]),
  ];
  const answer = output === undefined ? "?" : JSON.stringify(output);
  return `${client} ${asked.join(" ")} = ${answer} (${calledAt.toFixed(1)} to ${answeredAt.toFixed(1)})`;
}
