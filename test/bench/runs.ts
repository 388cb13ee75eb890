import { sleep } from "./clock.ts";
import { cpuSeconds } from "./processes.ts";
import { Remote } from "./remote.ts";
import type { RunAsker } from "./roles/run-asker.ts";
import type { RunHost } from "./roles/run-host.ts";
import type { RunWorker } from "./roles/run-worker.ts";
import type { Bench, Measurement, Site } from "./rounds.ts";
import { ADDED_BYTES } from "./runs/graphs.ts";

/** Runs that end before anything is measured: a process grows to its size with the first of them. */
const WARM_UP = 1_000;
const PART = 1_000;
const WORKERS = [1, 4];
/** What a worker works on at a time, and how long; twice as much is open as all of them can take. */
const SLOTS = 16;
const WORK_MS = 50;
const MEGABYTES = [0.05, 50];

const MEMORY = "memory of the host for all runs that wait";
const HOST_CPU = "CPU of the host for runs that wait";
const BROKER_CPU = "CPU of the broker for runs that wait";
const mapped = (workers: number): string => `items of a map-reduce, ${workers} workers`;
const bytes = (megabytes: number): string => `journal for a step, state of ${megabytes} MB`;
const time = (megabytes: number): string => `a step, state of ${megabytes} MB`;

/** Runs over the mesh: very many that wait, one with very many parts, one with a large state. */
export const runs: Bench<"plexus"> = {
  contenders: ["plexus"],
  legend: {
    plexus:
      "graphs hosted by a process of their own, begun and answered from another; recorded on disk",
  },
  rounds: { full: 3, quick: 1 },
  bars: [
    { name: `${MEMORY}, MB`, is: "at most", bar: 200, of: (value) => value("plexus", MEMORY) },
    { name: `${HOST_CPU}, %`, is: "at most", bar: 1, of: (value) => value("plexus", HOST_CPU) },
    { name: `${BROKER_CPU}, %`, is: "at most", bar: 1, of: (value) => value("plexus", BROKER_CPU) },
    {
      name: "items/s of a map-reduce: 4 workers ÷ 1",
      is: "at least",
      bar: 3.5,
      of: (value) => value("plexus", mapped(4)) / value("plexus", mapped(1)),
    },
    {
      name: `journal ÷ what a step adds, state of ${MEGABYTES[1]!} MB`,
      is: "at most",
      bar: 1.1,
      of: (value) => (value("plexus", bytes(MEGABYTES[1]!)) * 1_000) / ADDED_BYTES,
    },
    {
      name: `ms for a step, state of ${MEGABYTES[1]!} MB`,
      is: "at most",
      bar: 10,
      of: (value) => value("plexus", time(MEGABYTES[1]!)),
    },
  ],
  sample,
};

async function sample(_: "plexus", site: Site): Promise<Measurement[]> {
  const apart = (what: string): Site => ({ ...site, namespace: `${site.namespace}-${what}` });
  return [
    ...(await waiting(apart("waiting"))),
    ...(await mapping(apart("mapping"))),
    ...(await growing(apart("growing"))),
  ];
}

/** Runs that wait for a human, until all are answered. */
async function waiting({ quick, brokerPid, ...place }: Site): Promise<Measurement[]> {
  const count = quick ? 2_000 : 10_000;
  const restMs = quick ? 3_000 : 10_000;
  await using host = Remote.start<RunHost>("run-host");
  await using asker = Remote.start<RunAsker>("run-asker");
  await host.ask("asking", place);
  await asker.ask("connect", place);
  await asker.ask("begin", 0, WARM_UP);
  await asker.ask("answer", 0, WARM_UP);
  const hostPid = await host.ask("pid");
  /** In % of a core. */
  const cpu = async (): Promise<readonly [host: number, broker: number]> => {
    await sleep(1_000); // what has just been asked for has its end
    const [ofHost, ofBroker] = [cpuSeconds(hostPid), cpuSeconds(brokerPid)];
    await sleep(restMs);
    const share = (seconds: number): number => (seconds / restMs) * 1e5;
    return [share(cpuSeconds(hostPid) - ofHost), share(cpuSeconds(brokerPid) - ofBroker)];
  };
  /** How many a second, all in all; no command may take too long. */
  const inParts = async (what: "begin" | "answer"): Promise<number> => {
    let seconds = 0;
    for (let from = WARM_UP; from < WARM_UP + count; from += PART) {
      seconds += PART / (await asker.ask(what, from, from + PART));
    }
    return count / seconds;
  };
  const memory = await host.ask("memory");
  const before = await cpu();
  const begun = await inParts("begin");
  const grown = (await host.ask("memory")) - memory;
  const meanwhile = await cpu();
  const answered = await inParts("answer");
  return [
    { name: "runs that come to wait", unit: "1/s", value: begun },
    { name: "runs that are answered, and end", unit: "1/s", value: answered },
    { name: MEMORY, unit: "MB", value: grown },
    { name: "CPU of the host without runs", unit: "% of a core", value: before[0] },
    { name: HOST_CPU, unit: "% of a core", value: meanwhile[0] - before[0] },
    { name: "CPU of the broker without runs", unit: "% of a core", value: before[1] },
    { name: BROKER_CPU, unit: "% of a core", value: meanwhile[1] - before[1] },
  ];
}

/** One run whose items are worked on elsewhere. */
async function mapping({ quick, ...place }: Site): Promise<Measurement[]> {
  const measurements: Measurement[] = [];
  for (const count of WORKERS) {
    await using stack = new AsyncDisposableStack();
    const apart = { ...place, namespace: `${place.namespace}-${count}` };
    const workers = Array.from({ length: count }, () =>
      stack.use(Remote.start<RunWorker>("run-worker")),
    );
    const host = stack.use(Remote.start<RunHost>("run-host"));
    const asker = stack.use(Remote.start<RunAsker>("run-asker"));
    await Promise.all(workers.map((worker) => worker.ask("host", apart, SLOTS, WORK_MS)));
    const atOnce = 2 * count * SLOTS;
    await host.ask("mapping", apart, atOnce);
    await asker.ask("connect", apart);
    await asker.ask("map", 5 * atOnce, atOnce); // warm-up
    const perSecond = await asker.ask("map", quick ? 2_000 : 10_000, atOnce);
    measurements.push({ name: mapped(count), unit: "1/s", value: perSecond });
  }
  return measurements;
}

/** Steps of a run whose state is small, and large. */
async function growing({ quick, ...place }: Site): Promise<Measurement[]> {
  const steps = quick ? 100 : 300;
  await using host = Remote.start<RunHost>("run-host");
  await using asker = Remote.start<RunAsker>("run-asker");
  await host.ask("growing", place);
  await asker.ask("connect", place);
  const measurements: Measurement[] = [];
  for (const megabytes of MEGABYTES) {
    const thread = `t${megabytes}`;
    await asker.ask("fill", thread, megabytes);
    await asker.ask("step", thread, steps);
    const before = await asker.ask("stored", place);
    await asker.ask("step", thread, steps);
    const stored = ((await asker.ask("stored", place)) - before) / steps;
    const ms = (await host.ask("stepped")) / steps;
    measurements.push({ name: bytes(megabytes), unit: "kB", value: stored / 1_000 });
    measurements.push({ name: time(megabytes), unit: "ms", value: ms });
  }
  return measurements;
}
