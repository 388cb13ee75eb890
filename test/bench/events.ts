import type { ContenderName } from "./contenders/contender.ts";
import { Flow } from "./flow.ts";
import type { Bench, Measurement, Site } from "./rounds.ts";

const RATE = 10_000;

/** Publish–subscribe: one publisher process, one subscriber process. */
export const events: Bench<ContenderName> = {
  contenders: ["nats", "moleculer", "plexus"],
  rounds: { full: 5, quick: 2 },
  bars: [
    {
      name: "events lost: plexus, every round",
      is: "at most",
      bar: 0,
      everyRound: true,
      of: (value) => value("plexus", "lost"),
    },
  ],
  sample,
};

async function sample(contender: ContenderName, { quick, ...place }: Site): Promise<Measurement[]> {
  await using flow = await Flow.open(contender, place, 0);
  const flooded = await flow.saturate(quick ? 1.5 : 4, quick ? 0.5 : 1.5);
  const offered = await flow.offer(RATE, quick ? 1.5 : 5);
  return [
    { name: "throughput", unit: "1/s", value: flooded.perSecond },
    { name: "p50 at 10,000/s", unit: "ms", value: offered.p50 },
    { name: "p99 at 10,000/s", unit: "ms", value: offered.p99 },
    { name: "lost", unit: "events", value: flooded.lost + offered.lost },
  ];
}
