import { setTimeout as sleep } from "node:timers/promises";
import { connect, type Mesh, type SubmitOptions } from "@plexus/mesh";
import { seededRandom } from "@plexus/testing";
import { startBrokers } from "./brokers.ts";
import type { Campaign, CampaignOutcome } from "./campaign.ts";
import { Clerks } from "./clerks.ts";
import { Clerk, HEARTBEAT_WINDOW_MS } from "./contract.ts";
import { quiet } from "./quiet.ts";
import { durations, inWords, recoveries, type Durations } from "./recoveries.ts";

/** How hosts are lost, and how they came by their tasks. */
const CASES = [
  { name: "killed, tasks pulled", loss: "kill", placement: "pull" },
  { name: "killed, tasks placed", loss: "kill", placement: "leastOutstanding" },
  { name: "hung, tasks pulled", loss: "pause", placement: "pull" },
  { name: "hung, tasks placed", loss: "pause", placement: "leastOutstanding" },
] as const;

type Case = (typeof CASES)[number];

/** What is lost how often. */
interface RecoveryPlan {
  readonly seed: number;
  readonly hosts: number;
  /** Hosts lost for each case. */
  readonly losses: number;
}

interface RecoveryReport {
  readonly lost: number;
  readonly cases: readonly (Durations & { readonly name: string })[];
}

const BAR_MS = 3_000;
const SLOTS = 8;
const OUTSTANDING = 24; // fewer than the slots of those that are left
const WORK_MS = 1_200;

/** Hosts that are killed and hosts that stand still: how long until others execute what they had? */
export const recoveryCampaign: Campaign = {
  summary: "hosts killed, and hosts that hang: until others have their tasks",
  async run({ seed, scale, log }) {
    const losses = Math.max(1, Math.round(10 * scale));
    return outcomeOf(await runRecoveryCampaign({ seed, hosts: 5, losses }, log));
  },
};

function outcomeOf(report: RecoveryReport): CampaignOutcome {
  return {
    ok: report.lost === 0 && report.cases.every(({ count, max }) => count > 0 && max <= BAR_MS),
    figures: { ...report },
    lines: [
      `tasks      ${report.lost} lost`,
      ...report.cases.map((one) => `recovery   ${one.name}: ${inWords(one)}`),
      `bar        ${BAR_MS} ms after a death, one heartbeat window (${HEARTBEAT_WINDOW_MS} ms) after a hang`,
    ],
  };
}

/** Loses hosts in every way, one after the other, under load. */
async function runRecoveryCampaign(
  { seed, hosts, losses }: RecoveryPlan,
  log: (line: string) => void,
): Promise<RecoveryReport> {
  const random = seededRandom(seed);
  await using brokers = await startBrokers("single");
  const cases: (Durations & { name: string })[] = [];
  let lost = 0;
  for (const one of CASES) {
    await using clerks = await Clerks.start(brokers.servers, hosts, SLOTS);
    const { servers } = brokers;
    await using mesh = await connect({ servers, name: "submitter", http: false, log: quiet });
    await mesh.waitFor(Clerk, { instances: hosts });
    const load = startLoad(mesh, one.placement);
    await sleep(WORK_MS);
    for (let n = 0; n < losses; n++) await loseOne(one, clerks, random);
    lost += await load.stop();
    const found = durations(recoveries(await clerks.executions(), clerks.lostAt));
    cases.push({ name: one.name, ...found });
    log(`${one.name}: ${inWords(found)}`);
  }
  return { lost, cases };
}

/** Takes a host away, and starts another in its place once the loss is over. */
async function loseOne({ loss }: Case, clerks: Clerks, random: () => number): Promise<void> {
  const victim = clerks.pick(random())!; // all of them take tasks before the next one is lost
  if (loss === "kill") await clerks.kill(victim);
  else await clerks.pause(victim);
  await sleep(HEARTBEAT_WINDOW_MS + WORK_MS * random());
  if (loss === "pause") await clerks.end(victim);
  await clerks.add();
}

/** Keeps tasks outstanding until it is stopped; gives how many were lost. */
function startLoad(
  mesh: Mesh,
  placement: NonNullable<SubmitOptions["placement"]>,
): { stop(): Promise<number> } {
  const stopped = new AbortController();
  let lost = 0;
  let next = 0;
  const one = async (): Promise<void> => {
    while (!stopped.signal.aborted) {
      const [a, b] = [next++, 1];
      try {
        const task = await mesh.submit(Clerk, "add", { a, b, ms: WORK_MS }, { placement });
        if ((await task.result({ timeout: "60s" })) !== a + b) lost++;
      } catch {
        lost++;
      }
    }
  };
  const running = Promise.all(Array.from({ length: OUTSTANDING }, one));
  return {
    async stop() {
      stopped.abort();
      await running;
      return lost;
    },
  };
}
