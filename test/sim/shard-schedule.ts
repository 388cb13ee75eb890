import { ShardCluster, TIMING, type Demands } from "./shard-cluster.ts";
import type { ShardProcess } from "./shard-process.ts";
import { Violation } from "./violation.ts";
import { World } from "./world.ts";

/** What a schedule puts a cluster through. Which one it is follows from the seed. */
const KINDS = ["planned", "crash", "chaos", "chaos", "chaos", "wildClocks"] as const;

type Kind = (typeof KINDS)[number];

/** Clocks differ by up to 1 %, well within the margin of 5 % of the time to live. */
const CLOCK_SPREAD = 0.005;

const DEMANDS: Record<Kind, Demands> = {
  planned: { clockSpread: CLOCK_SPREAD, exclusive: true, maxGapMs: 500 },
  crash: { clockSpread: CLOCK_SPREAD, exclusive: true, maxGapMs: TIMING.ttlMs + 1_000 },
  chaos: { clockSpread: CLOCK_SPREAD, exclusive: true, maxGapMs: Infinity },
  wildClocks: { clockSpread: 0.3, exclusive: false, maxGapMs: Infinity },
};

/**
 * Runs the schedule of this seed and throws a {@link Violation} where an invariant does not hold.
 * @returns a digest of everything that happened: equal seeds, equal digests
 */
export function runSchedule(seed: number, trace?: (line: string) => void): number {
  const world = new World(seed, trace);
  const kind = KINDS[seed % KINDS.length]!;
  const cluster = new ShardCluster(world, world.pick([4, 8, 12]), DEMANDS[kind]);
  world.note(`${kind}, ${cluster.partitions} partitions`);
  const weights = world.pick([[1], [1], [0.5, 1, 2]]);
  const join = (): ShardProcess => cluster.join(world.pick(weights));
  const size = world.whole(2, 5);
  for (let i = 0; i < size; i++) {
    join();
    world.run(world.between(0, 200));
  }
  SCHEDULES[kind](cluster, join);
  cluster.heal();
  cluster.stayPut(TIMING.ttlMs);
  cluster.stopAll();
  return world.digest;
}

const SCHEDULES: Record<Kind, (cluster: ShardCluster, join: () => ShardProcess) => void> = {
  planned(cluster, join) {
    cluster.converge();
    const { world } = cluster;
    const flapping = world.chance(0.5);
    for (let change = 0; change < 6; change++) {
      if (flapping) {
        joinOrLeave(cluster, join);
        world.run(world.between(0, 1_000));
      } else checkMoves(cluster, () => joinOrLeave(cluster, join));
    }
    cluster.converge();
    for (const reason of Object.keys(cluster.drops)) {
      if (reason !== "released") throw new Violation(`a planned hand-off dropped: ${reason}`);
    }
  },

  crash(cluster, join) {
    cluster.converge();
    const { world } = cluster;
    for (let i = 0; i < 2; i++) {
      if (world.chance(0.5)) join();
      world.run(world.between(0, 2_000));
      if (cluster.staying.length > 1) cluster.crash(world.pick(cluster.staying));
      world.run(world.between(2.5 * TIMING.ttlMs, 5 * TIMING.ttlMs));
    }
  },

  chaos: misfortunes,
  wildClocks: misfortunes,
};

function joinOrLeave(cluster: ShardCluster, join: () => ShardProcess): ShardProcess {
  const { staying, world } = cluster;
  if (staying.length < 2 || (staying.length < 6 && world.chance(0.5))) return join();
  const leaving = world.pick(staying);
  leaving.stop();
  return leaving;
}

/** One that joins or leaves moves no more than it may own itself. */
function checkMoves(cluster: ShardCluster, change: () => ShardProcess): void {
  const before = cluster.owners();
  const members = new Set(cluster.staying);
  const changed = change();
  for (const member of cluster.staying) members.add(member);
  cluster.world.run(3 * TIMING.settleMs);
  cluster.converge();
  const after = cluster.owners();
  const moved = before.filter((owner, partition) => owner !== after[partition]).length;
  const total = [...members].reduce((sum, { self }) => sum + self.weight, 0);
  const fair = (cluster.partitions * changed.self.weight) / total;
  if (moved > Math.ceil(1.25 * fair)) {
    throw new Violation(`${moved} partitions moved, where ${fair.toFixed(1)} are its share`);
  }
}

/** Everything that can go wrong, several things at a time. */
function misfortunes(cluster: ShardCluster, join: () => ShardProcess): void {
  const { world } = cluster;
  const count = world.whole(4, 16);
  const pace = world.pick([500, 1_000, 3_000]);
  for (let i = 0; i < count; i++) {
    world.run(world.between(0, world.chance(0.3) ? 100 : pace));
    const name = world.pick(Object.keys(MISFORTUNES));
    world.note(`-- ${name}`);
    MISFORTUNES[name]!(cluster, join);
  }
}

/** How long a fault lasts: often about as long as a lease, which is where the races are. */
const spell = (world: World): number => TIMING.ttlMs * world.pick([0.1, 0.5, 0.9, 1.1, 1.5, 3]);

const MISFORTUNES: Record<string, (cluster: ShardCluster, join: () => ShardProcess) => void> = {
  join: (_cluster, join) => join(),
  leave(cluster) {
    if (cluster.staying.length > 1) cluster.world.pick(cluster.staying).stop();
  },
  crash(cluster) {
    if (cluster.staying.length > 1) cluster.crash(cluster.world.pick(cluster.staying));
  },
  restart(cluster, join) {
    if (cluster.staying.length === 0) return;
    cluster.crash(cluster.world.pick(cluster.staying));
    cluster.world.after(cluster.world.between(0, 1_000), join);
  },
  pause({ world, staying }) {
    if (staying.length === 0) return;
    const process = world.pick(staying);
    process.pause();
    world.after(spell(world), () => process.resume());
  },
  cut({ world, staying }) {
    if (staying.length > 0) cut(world, world.pick(staying), spell(world));
  },
  outage({ world, staying }) {
    const ms = spell(world);
    for (const process of staying) cut(world, process, ms + world.between(0, 300));
  },
  loss: ({ world, weather }) => {
    weather.lossRate = world.pick([0.05, 0.2, 0.5]);
    world.after(spell(world), () => (weather.lossRate = 0));
  },
  stragglers: ({ world, weather }) => {
    weather.straggleRate = world.pick([0.05, 0.2]);
    world.after(spell(world), () => (weather.straggleRate = 0));
  },
  lateWatch: ({ world, weather }) => {
    weather.watchLagMs = world.pick([200, 1_000, 3_000]);
    world.after(spell(world), () => (weather.watchLagMs = 20));
  },
  slow: ({ world, weather }) => {
    weather.latencyMs = world.pick([100, 300, 600]);
    world.after(spell(world), () => (weather.latencyMs = 20));
  },
};

function cut(world: World, process: ShardProcess, ms: number): void {
  process.disconnect(world.chance(0.5));
  world.after(ms, () => {
    if (process.phase !== "dead" && !process.uplink.up) process.reconnect();
  });
}
