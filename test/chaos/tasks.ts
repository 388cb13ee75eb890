import { mkdtemp, readFile, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect as connectNats } from "@nats-io/transport-node";
import { connect } from "@plexus/mesh";
import {
  seededRandom,
  spawnNode,
  startBroker,
  type Broker,
  type NodeProcess,
} from "@plexus/testing";
import { Clerk } from "./contract.ts";

/** What a campaign does; all of it is drawn from the seed but for the moments at which processes get their turn. */
export interface TaskCampaign {
  readonly seed: number;
  readonly tasks: number;
  readonly hosts: number;
  /** A task takes up to this long. */
  readonly workMs: number;
  /** A host is killed, and another started, at about this distance. */
  readonly killEveryMs: number;
  /** The broker is killed once, in the middle. */
  readonly restartBroker: boolean;
}

export interface TaskReport {
  readonly submitted: number;
  /** Results recorded by the broker. */
  readonly recorded: number;
  /** Tasks whose result was never given, or is wrong. */
  readonly lost: number;
  readonly wrong: number;
  /** Times that a handler ran; what exceeds the tasks is the price of at-least-once. */
  readonly executions: number;
  readonly kills: number;
  readonly seconds: number;
  /** The longest time in which no task at all ended, from submission to the last result. */
  readonly longestGapMs: number;
}

const OUTSTANDING = 512;
const RESULT_TIMEOUT = "2m";

/** Runs tasks on hosts that are being killed, and a broker that is, and counts what became of them. */
export async function runTaskCampaign(
  campaign: TaskCampaign,
  progress: (line: string) => void,
): Promise<TaskReport> {
  const random = seededRandom(campaign.seed);
  const directory = await mkdtemp(join(tmpdir(), "plexus-chaos-"));
  await using broker = await startBroker();
  const hosts = new Set<NodeProcess>();
  let started = 0;
  const start = async (): Promise<void> => {
    const host = spawnNode(new URL("./agents/clerk.ts", import.meta.url), {
      args: [join(directory, String(started++))],
      env: { PLEXUS_SERVERS: broker.url, PLEXUS_LOG_LEVEL: "silent" },
    });
    hosts.add(host);
    await host.waitForLine("ready", 60_000);
  };
  let kills = 0;
  const stop = new AbortController();
  try {
    await Promise.all(Array.from({ length: campaign.hosts }, start));
    const mesh = await connect({ servers: broker.url, name: "submitter", http: false, log: quiet });
    const killing = killHosts(campaign, hosts, start, random, stop.signal, () => kills++);
    const begun = performance.now();
    const outcome = await submitAll(campaign, mesh, random, broker, progress);
    const seconds = (performance.now() - begun) / 1_000;
    stop.abort();
    await killing;
    const recorded = await countRecorded(broker, mesh.mesh);
    await mesh.close();
    await Promise.all([...hosts].map((host) => host.kill()));
    const files = await readdir(directory);
    const texts = await Promise.all(files.map((file) => readFile(join(directory, file), "utf8")));
    const executions = texts.reduce((sum, text) => sum + text.split("\n").length - 1, 0);
    return { submitted: campaign.tasks, recorded, executions, kills, seconds, ...outcome };
  } finally {
    stop.abort();
    await Promise.all([...hosts].map((host) => host.kill()));
    await rm(directory, { recursive: true, force: true });
  }
}

async function killHosts(
  { killEveryMs }: TaskCampaign,
  hosts: Set<NodeProcess>,
  start: () => Promise<void>,
  random: () => number,
  signal: AbortSignal,
  killed: () => void,
): Promise<void> {
  while (!signal.aborted) {
    // oxlint-disable no-await-in-loop -- one after the other
    await sleep(killEveryMs * (0.5 + random()), undefined, { signal }).catch(() => undefined);
    if (signal.aborted) return;
    const victim = [...hosts][Math.floor(random() * hosts.size)];
    if (victim === undefined) return;
    hosts.delete(victim);
    await victim.kill();
    killed();
    await start();
    // oxlint-enable no-await-in-loop
  }
}

async function submitAll(
  campaign: TaskCampaign,
  mesh: Awaited<ReturnType<typeof connect>>,
  random: () => number,
  broker: Broker,
  progress: (line: string) => void,
): Promise<{ lost: number; wrong: number; longestGapMs: number }> {
  let next = 0;
  let ended = 0;
  let lost = 0;
  let wrong = 0;
  let lastEnd = performance.now();
  let longestGapMs = 0;
  let restarted: Promise<void> | undefined;
  const one = async (): Promise<void> => {
    while (next < campaign.tasks) {
      const a = next++;
      const input = {
        a,
        b: Math.floor(random() * 1_000),
        ms: Math.floor(random() * campaign.workMs),
      };
      try {
        // oxlint-disable no-await-in-loop -- one of many that run side by side
        const task = await mesh.submit(Clerk, "add", input, { timeout: RESULT_TIMEOUT });
        const sum = await task.result({ timeout: RESULT_TIMEOUT });
        // oxlint-enable no-await-in-loop
        if (sum !== input.a + input.b) wrong++;
      } catch (error) {
        lost++;
        progress(`task ${a}: ${String(error)}`);
      }
      const now = performance.now();
      longestGapMs = Math.max(longestGapMs, now - lastEnd);
      lastEnd = now;
      ended++;
      if (ended % Math.ceil(campaign.tasks / 10) === 0) progress(`${ended} of ${campaign.tasks}`);
      if (campaign.restartBroker && ended >= campaign.tasks / 2) {
        restarted ??= broker.restart({ signal: "SIGKILL", downMs: 300 });
      }
    }
  };
  await Promise.all(Array.from({ length: OUTSTANDING }, one));
  await restarted;
  return { lost, wrong, longestGapMs };
}

async function countRecorded(broker: Broker, mesh: string): Promise<number> {
  const connection = await connectNats({ servers: broker.url });
  try {
    const manager = await jetstreamManager(connection);
    const { state } = await manager.streams.info(`${mesh}-results`);
    return state.messages;
  } finally {
    await connection.close();
  }
}

const quiet = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => quiet,
};
