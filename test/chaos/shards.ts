import { setTimeout as sleep } from "node:timers/promises";
import { connect as connectNats, type NatsConnection } from "@nats-io/transport-node";
import { connect, type Mesh } from "@plexus/mesh";
import { seededRandom, startBroker } from "@plexus/testing";
import { faultsOf, readJournal } from "../support/journal.ts";
import type { Campaign, CampaignOutcome } from "./campaign.ts";
import { Keepers } from "./keepers.ts";
import { Meter } from "./meter.ts";
import { quiet } from "./quiet.ts";
import { Readings } from "./readings.ts";
import { ShardTimeline } from "./shard-timeline.ts";

/** What happens to the hosts. */
export interface ShardPlan {
  readonly seed: number;
  readonly hosts: number;
  /** Single changes, after each of which the partitions come to rest. */
  readonly calmChanges: number;
  /** Then, for so long, a host joins or leaves every second. */
  readonly churnMs: number;
  readonly keys: number;
  /** Whether hosts run the built packages, or the sources. */
  readonly built: boolean;
}

/** A distribution, in ms. */
interface Spread {
  readonly count: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

export interface ShardReport {
  readonly commands: number;
  /** What the callers were told and the journal does not say, or says otherwise. */
  readonly wrong: readonly string[];
  readonly failures: readonly string[];
  readonly joined: number;
  readonly left: number;
  readonly killed: number;
  readonly moved: number;
  /** The share of the partitions that moved by a single change, times the number of hosts; and by all, on average. */
  readonly worstMove: number;
  readonly meanMove: number;
  /** How long commands took: of partitions that stayed, that were handed over, that were taken over. */
  readonly stayed: Spread;
  readonly planned: Spread;
  readonly crashed: Spread;
  /** Commands that took longer than what happened to their partition allows, in words. */
  readonly late: readonly string[];
}

const PERIOD_MS = 1_000;
const PLANNED_MS = 500;
const CRASHED_MS = Meter.leaseMs + 1_000;
const FROZEN_MS = 2 * Meter.leaseMs;
const MOVE_BAR = 1.5;

/** Hosts of an entity that join, leave, hang and are killed all the time. */
export const shardCampaign: Campaign = {
  summary: "partitions whose hosts join, leave, hang and are killed every second",
  async run({ seed, scale, log }) {
    const calmChanges = Math.max(2, Math.round(8 * scale));
    const churnMs = Math.max(5_000, Math.round(60_000 * scale));
    const plan = { seed, hosts: 6, calmChanges, churnMs, keys: 128, built: true };
    return outcomeOf(await runShardCampaign(plan, log));
  },
};

function row(name: string, { count, p50, p99, max }: Spread): string {
  const times = `p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(0)} ms, longest ${max.toFixed(0)} ms`;
  return `${name.padEnd(11)}${count} commands, ${times}`;
}

function outcomeOf(report: ShardReport): CampaignOutcome {
  const { commands, wrong, failures, joined, left, killed, moved, late } = report;
  return {
    ok:
      wrong.length === 0 &&
      failures.length === 0 &&
      late.length === 0 &&
      report.worstMove <= MOVE_BAR &&
      report.meanMove <= MOVE_BAR,
    figures: { ...report },
    lines: [
      `commands   ${commands} answered, ${failures.length} failed, ${wrong.length} not recorded once and in order`,
      `hosts      ${joined} joined, ${left} left, ${killed} killed, one frozen; partitions moved ${moved} times`,
      `movement   ${report.meanMove.toFixed(2)}/N a change on average, ${report.worstMove.toFixed(2)}/N at most by a single one (bar ${MOVE_BAR}/N)`,
      row("stayed", report.stayed),
      row("handed on", report.planned),
      row("taken over", report.crashed),
      `late       ${late.length} (bars: ${PLANNED_MS} ms planned, ${CRASHED_MS} ms after a crash)`,
      ...[...wrong, ...failures, ...late].slice(0, 20),
    ],
  };
}

/** Changes the hosts under load, and compares what the callers were told with the journal. */
export async function runShardCampaign(
  plan: ShardPlan,
  log: (line: string) => void,
): Promise<ShardReport> {
  const random = seededRandom(plan.seed);
  await using broker = await startBroker();
  await using keepers = new Keepers(broker.url, plan.built);
  const nats = await connectNats({ servers: broker.url });
  await using mesh = await connect({
    servers: broker.url,
    name: "reader",
    http: false,
    log: quiet,
  });
  const timeline = new ShardTimeline(nats, mesh.mesh, Meter.name, Meter.partitions);
  await nats.flush();
  await Promise.all(Array.from({ length: plan.hosts }, () => keepers.join()));
  await settled(mesh, keepers);
  const keys = Array.from({ length: plan.keys }, (_, n) => `meter ${n}`);
  const readings = new Readings(mesh, keys);
  await sleep(PERIOD_MS);
  const worstMove = await changeCalmly(plan, random, keepers, mesh, timeline, log);
  const meanMove = await churn(plan, random, keepers, timeline, log);
  await settled(mesh, keepers);
  await sleep(PERIOD_MS);
  await readings.end();
  await keepers.gone();
  const wrong = await compare(nats, mesh.mesh, readings);
  await nats.close();
  const { joined, left, killed } = keepers;
  return {
    commands: readings.commands,
    wrong,
    failures: readings.failures,
    joined,
    left,
    killed,
    moved: timeline.moved,
    worstMove,
    meanMove,
    ...judge(readings, timeline),
  };
}

/** @returns the largest part of the partitions that moved by one change, times the number of hosts */
async function changeCalmly(
  { calmChanges }: ShardPlan,
  random: () => number,
  keepers: Keepers,
  mesh: Mesh,
  timeline: ShardTimeline,
  log: (line: string) => void,
): Promise<number> {
  let worst = 0;
  for (let n = 0; n < calmChanges; n++) {
    const [moved, hosts] = [timeline.moved, keepers.count];
    const what = await change(n, random, keepers);
    await settled(mesh, keepers);
    const share = (timeline.moved - moved) / Meter.partitions;
    const among = Math.max(hosts, keepers.count);
    worst = Math.max(worst, share * among);
    log(`${what}: ${timeline.moved - moved} partitions moved among ${among}`);
  }
  return worst;
}

/** @returns the part of the partitions that moved by a change on average, times the number of hosts */
async function churn(
  { churnMs }: ShardPlan,
  random: () => number,
  keepers: Keepers,
  timeline: ShardTimeline,
  log: (line: string) => void,
): Promise<number> {
  const moved = timeline.moved;
  const until = performance.now() + churnMs;
  const frozenAt = performance.now() + churnMs / 2;
  let frozen = false;
  let changes = 0;
  let hosts = 0;
  const joining = new Set<Promise<unknown>>();
  for (let n = 0; performance.now() < until; n++) {
    await sleep(PERIOD_MS * (0.75 + random() / 2));
    if (!frozen && performance.now() >= frozenAt) {
      frozen = true;
      changes += 2; // it is taken for dead, and comes back
      const instance = await keepers.freeze(random(), FROZEN_MS);
      timeline.pause(instance, FROZEN_MS);
      log(`froze ${instance}`);
    }
    const changing = change(n, random, keepers);
    joining.add(changing);
    void changing.finally(() => joining.delete(changing));
    changes++;
    hosts += keepers.count;
  }
  await Promise.all(joining);
  log(`${changes} changes`);
  return (
    ((timeline.moved - moved) / Meter.partitions / changes) *
    (hosts / Math.floor(churnMs / PERIOD_MS))
  );
}

/** Lets hosts join and leave in turn, and every third one that leaves be killed. */
async function change(n: number, random: () => number, keepers: Keepers): Promise<string> {
  if (n % 2 === 0) return `joined ${await keepers.join()}`;
  if (n % 6 === 3) return `killed ${await keepers.kill(random())}`;
  return `left ${keepers.leave(random())}`;
}

/** Waits until each partition is held by a host that is there, and has been for a while. */
async function settled(mesh: Mesh, keepers: Keepers): Promise<void> {
  const fair = Math.floor(Meter.partitions / keepers.count) - 1;
  for (let calm = 0, before = ""; calm < 4;) {
    const shards = await mesh.shards(Meter);
    const owners = Map.groupBy(shards, ({ owner }) => owner);
    const whole =
      shards.length === Meter.partitions &&
      keepers.instances.every((one) => (owners.get(one)?.length ?? 0) >= fair) &&
      owners.size === keepers.count;
    const now = shards.map(({ epoch }) => epoch).join();
    calm = whole && now === before ? calm + 1 : 0;
    before = now;
    await sleep(300);
  }
}

/** What the callers were told against what is recorded. */
async function compare(
  nats: NatsConnection,
  mesh: string,
  { recorded }: Readings,
): Promise<string[]> {
  const journal = await readJournal(nats, mesh);
  const found = new Map<string, string[]>([...recorded.keys()].map((key) => [key, []]));
  for (const { record } of journal) if (record) found.get(record.key)?.push(record.id);
  const wrong = faultsOf(journal);
  for (const [key, ids] of recorded) {
    const stored = found.get(key)!;
    const at = ids.findIndex((id, n) => stored[n] !== id);
    if (at >= 0) wrong.push(`${key}: ${stored[at]} is recorded in the place of ${ids[at]}`);
    else if (stored.length > ids.length) wrong.push(`${key}: more is recorded than was answered`);
  }
  return wrong;
}

function judge(
  { readings }: Readings,
  timeline: ShardTimeline,
): Pick<ShardReport, "stayed" | "planned" | "crashed" | "late"> {
  const stayed: number[] = [];
  const planned: number[] = [];
  const crashed: number[] = [];
  const late: string[] = [];
  for (const { partition, from, to } of readings) {
    const moves = timeline.between(partition, from, to);
    const ms = to - from;
    if (moves.crashed > 0) crashed.push(ms);
    else if (moves.planned > 0) planned.push(ms);
    else stayed.push(ms);
    const allowed = moves.crashed * CRASHED_MS + moves.planned * PLANNED_MS;
    if (ms > Math.max(allowed, PLANNED_MS)) {
      late.push(
        `${ms.toFixed(0)} ms, partition ${partition}: ${timeline.tell(partition, from, to)}`,
      );
    }
  }
  return { stayed: spread(stayed), planned: spread(planned), crashed: spread(crashed), late };
}

function spread(values: number[]): Spread {
  values.sort((a, b) => a - b);
  const at = (part: number): number => values[Math.floor((values.length - 1) * part)] ?? 0;
  return { count: values.length, p50: at(0.5), p99: at(0.99), max: at(1) };
}
