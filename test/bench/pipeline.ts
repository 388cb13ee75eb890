import type { ContenderName } from "./contenders/contender.ts";
import { Flow } from "./flow.ts";
import type { Bench, Measurement, Site } from "./rounds.ts";

const HOPS = 5;
const RATE = 10_000;
const SATURATION = "saturation";
const MEAN = "mean at 10,000/s";
const P99 = "p99 at 10,000/s";

/** Signals through five hops, a process each, six broker crossings: decode, touch a field, publish onward. */
export const pipeline: Bench<ContenderName> = {
  contenders: ["nats", "moleculer", "plexus"],
  rounds: { full: 5, quick: 1 },
  bars: [
    {
      name: "mean ms at 10,000 signals/s: plexus",
      is: "at most",
      bar: 5,
      of: (value) => value("plexus", MEAN),
    },
    {
      name: "p99 ms at 10,000 signals/s: plexus",
      is: "at most",
      bar: 25,
      of: (value) => value("plexus", P99),
    },
    {
      name: "signals lost: plexus, every round",
      is: "at most",
      bar: 0,
      everyRound: true,
      of: (value) => value("plexus", "lost"),
    },
    {
      name: "signals/s at saturation: plexus ÷ nats",
      is: "at least",
      bar: 0.9,
      of: (value) => value("plexus", SATURATION) / value("nats", SATURATION),
    },
    {
      name: "signals/s at saturation: plexus ÷ moleculer",
      is: "at least",
      bar: 1.5,
      of: (value) => value("plexus", SATURATION) / value("moleculer", SATURATION),
    },
  ],
  sample,
};

async function sample(contender: ContenderName, { quick, ...place }: Site): Promise<Measurement[]> {
  await using flow = await Flow.open(contender, place, HOPS);
  const saturated = await flow.saturate(quick ? 1.5 : 5, quick ? 1 : 2);
  const offered = await flow.offer(RATE, quick ? 5 : 30);
  return [
    { name: SATURATION, unit: "1/s", value: saturated.perSecond },
    { name: MEAN, unit: "ms", value: offered.mean },
    { name: "p50 at 10,000/s", unit: "ms", value: offered.p50 },
    { name: P99, unit: "ms", value: offered.p99 },
    { name: "lost", unit: "signals", value: saturated.lost + offered.lost },
  ];
}
