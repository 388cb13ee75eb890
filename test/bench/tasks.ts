import { Remote } from "./remote.ts";
import { QUEUES, type QueueName, type QueuePlace } from "./queues/queue.ts";
import { startRedis } from "./queues/redis.ts";
import type { QueueWorker } from "./roles/queue-worker.ts";
import type { Submitter } from "./roles/submitter.ts";
import type { Bench, Measurement, Site } from "./rounds.ts";

const CYCLES = "cycles, 64 outstanding";
const DEEP = "cycles, 64 outstanding, long queue";
const SUBMITTED = "submissions, 256 in flight";
const GROWTH = "worker's memory over the long queue";

/** Durable work: stored, executed in another process, its result recorded and given back. */
export const tasks: Bench<QueueName> = {
  contenders: ["nats", "bullmq", "plexus"],
  legend: QUEUES,
  rounds: { full: 5, quick: 1 },
  bars: [
    {
      name: "cycles/s at 64: plexus ÷ bullmq",
      is: "at least",
      bar: 5,
      of: (value) => value("plexus", CYCLES) / value("bullmq", CYCLES),
    },
    {
      name: "cycles/s at 64: plexus ÷ the raw cycle that records nothing",
      is: "at least",
      bar: 0.9,
      of: (value) => value("plexus", CYCLES) / value("nats", CYCLES),
    },
    {
      name: "submissions/s: plexus",
      is: "at least",
      bar: 30_000,
      of: (value) => value("plexus", SUBMITTED),
    },
    {
      name: "cycles/s at 64: long queue ÷ empty one",
      is: "at least",
      bar: 0.8,
      of: (value) => value("plexus", DEEP) / value("plexus", CYCLES),
    },
    {
      name: "MiB that the worker grows by while the queue is long",
      is: "at most",
      bar: 50,
      of: (value) => value("plexus", GROWTH),
    },
  ],
  sample,
};

async function sample(contender: QueueName, { quick, ...site }: Site): Promise<Measurement[]> {
  await using redis = contender === "bullmq" ? await startRedis() : undefined;
  if (contender === "bullmq" && redis === undefined) {
    throw new Error("there is no redis-server on PATH (Debian: apt-get install redis-server)");
  }
  const { servers, namespace } = site;
  const place: QueuePlace = { servers, namespace, redis: redis?.socket };
  await using worker = Remote.start<QueueWorker>("queue-worker");
  await using submitter = Remote.start<Submitter>("submitter");
  await worker.ask("work", contender, place, "worked");
  await submitter.ask("connect", contender, place);
  await submitter.ask("cycles", "worked", 64, quick ? 0.5 : 2); // warm-up
  const cycles = await submitter.ask("cycles", "worked", 64, quick ? 2 : 5);
  const measurements = [
    { name: CYCLES, unit: "1/s", value: cycles.perSecond },
    { name: "p50 of them", unit: "ms", value: cycles.p50 },
    { name: "p99 of them", unit: "ms", value: cycles.p99 },
  ];
  // Nobody works on this one: what is submitted stays.
  const stored = await submitter.ask("submissions", "waiting", 256, quick ? 20_000 : 100_000);
  measurements.push({ name: SUBMITTED, unit: "1/s", value: stored });
  if (contender !== "plexus") return measurements;
  const before = await worker.ask("memory");
  await submitter.ask("submissions", "waiting", 256, quick ? 50_000 : 900_000);
  const deep = await submitter.ask("cycles", "worked", 64, quick ? 2 : 5);
  const growth = (await worker.ask("memory")) - before;
  return [
    ...measurements,
    { name: DEEP, unit: "1/s", value: deep.perSecond },
    { name: GROWTH, unit: "MiB", value: growth },
  ];
}
