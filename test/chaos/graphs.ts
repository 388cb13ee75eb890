import { setTimeout as sleep } from "node:timers/promises";
import { connect as connectNats } from "@nats-io/transport-node";
import { connect } from "@plexus/mesh";
import { seededRandom, startBroker } from "@plexus/testing";
import type { Campaign, CampaignOutcome } from "./campaign.ts";
import { GraphHosts } from "./graph-hosts.ts";
import { RunProgress } from "./graph-progress.ts";
import { GraphRuns } from "./graph-runs.ts";
import { drawSuite } from "./graph-suite.ts";
import { quiet } from "./quiet.ts";

/** Which graphs are executed, and what happens to those who execute them. */
export interface GraphPlan {
  readonly seed: number;
  readonly graphs: number;
  readonly hosts: number;
  /** Runs at a time. */
  readonly lanes: number;
  /** A host is killed so often, and another one joins. */
  readonly kills: number;
  /** The mean time between kills. */
  readonly killEveryMs: number;
  /** A host stands still so often, for longer than its lease. */
  readonly freezes: number;
  /** The broker is killed and started again so often. */
  readonly restarts: number;
  readonly leaseMs: number;
  /** A run without a record for so long is stuck: leases and new processes take seconds, on a machine that is very busy some 20. */
  readonly stuckMs: number;
  /** Whether hosts run the built packages, or the sources. */
  readonly built: boolean;
}

export interface GraphReport {
  /** What the graphs consist of. */
  readonly constructs: readonly string[];
  readonly runs: number;
  /** Executions and effects that were begun, and those that were begun again, as what came of them was not recorded. */
  readonly begun: number;
  readonly repeated: number;
  readonly killed: number;
  readonly frozen: number;
  readonly restarted: number;
  /** Runs that have come to something else than the calm run of their graph, and how. */
  readonly wrong: readonly string[];
  /** Runs that made no progress for too long, and how they stand. */
  readonly stuck: readonly string[];
  /** The longest time that a run made no progress. */
  readonly longestStallMs: number;
  readonly seconds: number;
}

const DOWN_MS = 400;

/** Graphs of every construct whose hosts are killed all the time. */
export const graphCampaign: Campaign = {
  summary: "random graphs of every construct on 5 processes; 1,000 kills, some hang, broker killed",
  async run({ seed, scale, log }) {
    const kills = Math.max(10, Math.round(1_000 * scale));
    const freezes = Math.max(1, Math.round(kills / 25));
    const restarts = Math.max(1, Math.round(8 * scale));
    const plan = { seed, graphs: 16, hosts: 5, lanes: 24, leaseMs: 1_000, stuckMs: 60_000 };
    const faults = { kills, killEveryMs: 700, freezes, restarts };
    return outcomeOf(await runGraphCampaign({ ...plan, ...faults, built: true }, log));
  },
};

function outcomeOf(report: GraphReport): CampaignOutcome {
  const { runs, begun, repeated, killed, frozen, restarted, wrong, stuck, seconds } = report;
  return {
    ok: wrong.length === 0 && stuck.length === 0,
    figures: { ...report },
    lines: [
      `graphs     of ${report.constructs.join(", ")}`,
      `runs       ${runs} in ${seconds.toFixed(0)} s; ${begun} executions and effects, ${repeated} begun again`,
      `faults     ${killed} hosts killed, ${frozen} frozen, broker killed ${restarted} times`,
      `wrong      ${wrong.length} (result, records, effects or compensation not as in the calm run)`,
      `stuck      ${stuck.length}; longest stall ${(report.longestStallMs / 1_000).toFixed(1)} s`,
      ...wrong.slice(0, 20),
      ...stuck.slice(0, 20).map((thread) => `stuck: ${thread}`),
    ],
  };
}

/** Lets runs be executed under faults, and compares what is recorded of each with the calm run of its graph. */
export async function runGraphCampaign(
  plan: GraphPlan,
  log: (line: string) => void,
): Promise<GraphReport> {
  const { seed, graphs, built, hosts: count, leaseMs } = plan;
  const suite = drawSuite(seed, graphs);
  await using broker = await startBroker();
  const lease = `${leaseMs}ms`;
  await using hosts = new GraphHosts({
    servers: broker.url,
    seed,
    graphs,
    hosts: count,
    lease,
    built,
  });
  await Promise.all(Array.from({ length: plan.hosts }, () => hosts.join()));
  const options = { servers: broker.url, name: "asker", http: false, log: quiet } as const;
  await using mesh = await connect(options);
  const nats = await connectNats({ servers: broker.url, maxReconnectAttempts: -1 });
  using progress = new RunProgress(nats, mesh.mesh, plan.stuckMs);
  await nats.flush();
  const startedMs = performance.now();
  const runs = new GraphRuns(mesh, suite.runs, plan.lanes, progress);
  let restarted = 0;
  const faults = disturb(plan, hosts, {
    restart: async () => {
      restarted++;
      await broker.restart({ signal: "SIGKILL", downMs: DOWN_MS });
    },
    goesOn: () => progress.stuck.size === 0,
    tell: () => {
      const longest = (progress.longestMs / 1_000).toFixed(1);
      log(`${hosts.killed} kills, ${runs.done.length} runs done, longest stall ${longest} s`);
    },
  });
  await faults;
  await Promise.race([runs.end(), progress.anyStuck]);
  const seconds = (performance.now() - startedMs) / 1_000;
  const stuck = await Promise.all([...progress.stuck].map((thread) => runs.describe(thread)));
  log(`${runs.done.length} runs are done: audit`);
  const wrong = await runs.audit();
  await nats.close();
  const begun = [...hosts.begun.values()];
  return {
    constructs: suite.constructs,
    runs: runs.done.length,
    begun: begun.length,
    repeated: begun.filter((times) => times > 1).length,
    killed: hosts.killed,
    frozen: hosts.frozen,
    restarted,
    wrong,
    stuck,
    longestStallMs: progress.longestMs,
    seconds,
  };
}

/** Kills, freezes and restarts, spread evenly and at drawn moments. Resolves when all is whole again. */
async function disturb(
  { seed, kills, killEveryMs, freezes, restarts, leaseMs }: GraphPlan,
  hosts: GraphHosts,
  how: { restart(): Promise<void>; goesOn(): boolean; tell(): void },
): Promise<void> {
  const random = seededRandom(seed);
  const mending: Promise<void>[] = [];
  /** The next fault does not wait for it. */
  const meanwhile = (work: Promise<void>): void => {
    work.catch(() => undefined); // told in the end
    mending.push(work);
  };
  for (let n = 1; n <= kills && how.goesOn(); n++) {
    const isDue = (times: number): boolean =>
      Math.floor((n * times) / kills) > Math.floor(((n - 1) * times) / kills);
    await sleep(killEveryMs * 2 * random());
    await hosts.enough();
    await hosts.kill(random());
    meanwhile(hosts.join());
    if (isDue(freezes)) {
      await hosts.enough();
      meanwhile(hosts.freeze(random(), leaseMs * (1.5 + 2.5 * random())));
    }
    if (isDue(restarts)) meanwhile(how.restart());
    if (n % 25 === 0) how.tell();
  }
  await Promise.all(mending);
}
