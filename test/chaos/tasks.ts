import { setTimeout as sleep } from "node:timers/promises";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect, type Mesh } from "@plexus/mesh";
import { seededRandom } from "@plexus/testing";
import { startBrokers, type Brokers } from "./brokers.ts";
import type { Campaign, CampaignOutcome } from "./campaign.ts";
import { Clerks } from "./clerks.ts";
import { Clerk } from "./contract.ts";
import { quiet } from "./quiet.ts";
import { durations, inWords, recoveries, seconds, type Durations } from "./recoveries.ts";

/** What is done to how many tasks. */
export interface TaskPlan {
  readonly seed: number;
  readonly brokers: "single" | "cluster";
  readonly tasks: number;
  readonly hosts: number;
  /** A task takes up to this long. */
  readonly workMs: number;
  /** A host is killed, and another started, at about this distance. */
  readonly killEveryMs: number;
}

export interface TaskReport {
  readonly submitted: number;
  /** Results that the broker holds. */
  readonly recorded: number;
  /** Results that were recorded and are not there any more: another one took their place. */
  readonly replaced: number;
  /** Tasks whose result was never given, or is wrong. */
  readonly lost: number;
  readonly wrong: number;
  /** Times that a handler ran; what exceeds the tasks is the price of at-least-once. */
  readonly executions: number;
  readonly kills: number;
  readonly seconds: number;
  /** The longest time in which no task at all ended, from submission to the last result. */
  readonly longestGapMs: number;
  /** From the death of a host to the next execution of what it had, where no broker was away meanwhile. */
  readonly recovery: Durations;
}

const OUTSTANDING = 512;
const SLOTS = 64;
const RESULT_TIMEOUT = "3m";

/** Tasks on hosts that are killed one after the other, with the broker killed once: none may be lost or recorded twice. */
export function taskCampaign(brokers: "single" | "cluster"): Campaign {
  const what = brokers === "single" ? "its broker" : "the leader of its three brokers";
  return {
    summary: `100,000 tasks, 8 hosts, one killed every 2 s, ${what} killed once`,
    async run({ seed, scale, log }) {
      const tasks = Math.round(100_000 * scale);
      const plan = { seed, brokers, tasks, hosts: 8, workMs: 400, killEveryMs: 2_000 };
      return outcomeOf(await runTaskCampaign(plan, log));
    },
  };
}

function outcomeOf(report: TaskReport): CampaignOutcome {
  const { submitted, recorded, replaced, lost, wrong, executions, kills, recovery } = report;
  const ok = lost === 0 && wrong === 0 && replaced === 0 && recorded === submitted;
  return {
    ok,
    figures: { ...report },
    lines: [
      `tasks      ${submitted} submitted, ${recorded} recorded, ${lost} lost, ${replaced} recorded twice, ${wrong} wrong`,
      `executions ${executions} (${executions - submitted} surplus), ${kills} hosts killed`,
      `recovery   after a host was killed: ${inWords(recovery)}`,
      `time       ${report.seconds.toFixed(1)} s, longest pause ${seconds(report.longestGapMs)}`,
    ],
  };
}

/** Runs a plan to its end and counts what became of the tasks. */
export async function runTaskCampaign(
  plan: TaskPlan,
  log: (line: string) => void,
): Promise<TaskReport> {
  const random = seededRandom(plan.seed);
  await using brokers = await startBrokers(plan.brokers);
  await using clerks = await Clerks.start(brokers.servers, plan.hosts, SLOTS);
  const { servers } = brokers;
  await using mesh = await connect({ servers, name: "submitter", http: false, log: quiet });
  log(`${plan.tasks} tasks on ${plan.hosts} hosts, ${brokers.description}`);
  const stop = new AbortController();
  const killing = killHosts(plan.killEveryMs, clerks, random, stop.signal);
  const begun = performance.now();
  try {
    const outcome = await submitAll(plan, mesh, random, brokers, log);
    const took = (performance.now() - begun) / 1_000;
    stop.abort();
    await killing;
    const stored = await recordedResults(brokers, mesh.mesh);
    const executions = await clerks.executions();
    const { lost, wrong, longestGapMs, away } = outcome;
    const lostAt = [...clerks.lostAt].filter(([, at]) => !away.some((one) => overlaps(one, at)));
    return {
      submitted: plan.tasks,
      ...stored,
      lost,
      wrong,
      executions: executions.length,
      kills: clerks.lostAt.size,
      seconds: took,
      longestGapMs,
      recovery: durations(recoveries(executions, new Map(lostAt))),
    };
  } finally {
    stop.abort();
    await killing;
  }
}

/** A time in which a broker was away: milliseconds since the epoch. */
interface Away {
  readonly from: number;
  readonly to: number;
}

const SETTLING_MS = 10_000;

/** Whether what was lost at that time may have had to wait for a broker. */
function overlaps({ from, to }: Away, at: number): boolean {
  return at > from - SETTLING_MS && at < to + SETTLING_MS;
}

async function killHosts(
  everyMs: number,
  clerks: Clerks,
  random: () => number,
  signal: AbortSignal,
): Promise<void> {
  const starting: Promise<void>[] = [];
  while (!signal.aborted) {
    await sleep(everyMs * (0.5 + random()), undefined, { signal }).catch(() => undefined);
    if (signal.aborted) break;
    const victim = clerks.pick(random());
    if (victim === undefined) continue;
    await clerks.kill(victim);
    const started = clerks.add();
    started.catch(() => undefined); // told at the end
    starting.push(started);
  }
  await Promise.all(starting);
}

async function submitAll(
  plan: TaskPlan,
  mesh: Mesh,
  random: () => number,
  brokers: Brokers,
  log: (line: string) => void,
): Promise<{ lost: number; wrong: number; longestGapMs: number; away: Away[] }> {
  const away: Away[] = [];
  let next = 0;
  let ended = 0;
  let lost = 0;
  let wrong = 0;
  let lastEnd = performance.now();
  let longestGapMs = 0;
  let killed: Promise<void> | undefined;
  const kill = async (): Promise<void> => {
    const from = Date.now();
    await brokers.kill(`${mesh.mesh}-tasks`);
    away.push({ from, to: Date.now() });
    log(`the broker was away for ${seconds(Date.now() - from)}`);
  };
  const one = async (): Promise<void> => {
    while (next < plan.tasks) {
      const a = next++;
      const input = { a, b: Math.floor(random() * 1_000), ms: Math.floor(random() * plan.workMs) };
      try {
        const task = await mesh.submit(Clerk, "add", input, { timeout: RESULT_TIMEOUT });
        const sum = await task.result({ timeout: RESULT_TIMEOUT });
        if (sum !== input.a + input.b) wrong++;
      } catch (error) {
        lost++;
        log(`task ${a}: ${String(error)}`);
      }
      const now = performance.now();
      longestGapMs = Math.max(longestGapMs, now - lastEnd);
      lastEnd = now;
      ended++;
      if (ended % Math.ceil(plan.tasks / 10) === 0) log(`${ended} of ${plan.tasks}`);
      if (ended >= plan.tasks / 2) killed ??= kill();
    }
  };
  await Promise.all(Array.from({ length: OUTSTANDING }, one));
  await killed;
  return { lost, wrong, longestGapMs, away };
}

/** What the stream of results says: nothing that was recorded may have gone. */
async function recordedResults(
  brokers: Brokers,
  mesh: string,
): Promise<{ recorded: number; replaced: number }> {
  const connection = await brokers.connect();
  try {
    const manager = await jetstreamManager(connection);
    // Beside results there are barriers, of those who missed a task and wanted to be sure.
    const results = { subjects_filter: `${mesh}.done.*` };
    const { state } = await manager.streams.info(`${mesh}-results`, results);
    const recorded = Object.keys(state.subjects ?? {}).length;
    return { recorded, replaced: state.last_seq - state.messages };
  } finally {
    await connection.close();
  }
}
