import type { ContenderName, Placement } from "./contenders/contender.ts";
import { openReplicas, type Replica } from "./replicas.ts";
import type { Bench, Measurement, Site } from "./rounds.ts";

/** Three replicas of 1,600 calls/s each and one of 160: about 5,000 in all. */
const wait = (ms: number): Replica => ({ work: { kind: "wait", ms }, concurrency: 8 });
const replicas = [wait(5), wait(5), wait(5), wait(50)];
/**
 * A sixth of that. Choice at random still sends the slow replica a quarter, 200 a second, which is more than it can
 * take: there a queue builds up.
 */
const RATE = 800;

const choosers = {
  "nats queue group": { contender: "nats", placement: "broker" },
  "plexus leastOutstanding": { contender: "plexus", placement: "leastOutstanding" },
  "plexus peakEwma": { contender: "plexus", placement: "peakEwma" },
  "plexus roundRobin": { contender: "plexus", placement: "roundRobin" },
  "plexus weightedRoundRobin": { contender: "plexus", placement: "weightedRoundRobin" },
} as const satisfies Record<string, { contender: ContenderName; placement: Placement }>;

type Chooser = keyof typeof choosers;

const better = (chooser: Chooser) => ({
  name: `p99: nats queue group ÷ ${chooser}`,
  is: "at least" as const,
  bar: 3,
  of: (value: (contender: Chooser, name: string) => number) =>
    value("nats queue group", "p99") / value(chooser, "p99"),
});

/** Unequal replicas, one ten times slower, under an open-loop load: who picks better than chance? */
export const placement: Bench<Chooser> = {
  contenders: Object.keys(choosers) as Chooser[],
  rounds: { full: 5, quick: 1 },
  bars: [better("plexus leastOutstanding"), better("plexus peakEwma")],
  sample,
};

async function sample(chooser: Chooser, { quick, ...place }: Site): Promise<Measurement[]> {
  const { contender, placement: chosen } = choosers[chooser];
  await using open = await openReplicas(contender, place, replicas, chosen);
  await open.caller.ask("open", RATE, 1); // warm-up
  const { mean, p50, p99 } = await open.caller.ask("open", RATE, quick ? 3 : 8);
  return [
    { name: "mean", unit: "ms", value: mean },
    { name: "p50", unit: "ms", value: p50 },
    { name: "p99", unit: "ms", value: p99 },
  ];
}
