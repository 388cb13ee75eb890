import type { ContenderName } from "./contenders/contender.ts";
import { Remote } from "./remote.ts";
import type { Caller } from "./roles/caller.ts";
import type { Responder } from "./roles/responder.ts";
import type { Bench, Measurement, Site } from "./rounds.ts";

/**
 * Each load has code of its own that has to be compiled first, and a lone call comes by seldom: until some 10,000 of them have
 * been made, the slowest hundredth tells of the compiler and of nothing else.
 */
const loads = [
  { calls: 1, warmUp: { full: 5, quick: 3 } },
  { calls: 64, warmUp: { full: 1.5, quick: 0.5 } },
  { calls: 256, warmUp: { full: 1.5, quick: 0.5 } },
];
const throughput = (calls: number): string => `calls, ${calls} outstanding`;
const p99 = (calls: number): string => `p99, ${calls} outstanding`;

/** Request and reply: one caller process keeps N calls open to one responder process. */
export const rpc: Bench<ContenderName> = {
  contenders: ["nats", "nats-no-traces", "moleculer", "moleculer-guarded", "plexus"],
  rounds: { full: 5, quick: 1 },
  bars: [
    {
      name: "calls/s at 64: plexus ÷ nats request() without codec",
      is: "at least",
      bar: 1.5,
      of: (value) => value("plexus", throughput(64)) / value("nats", throughput(64)),
    },
    {
      name: "calls/s at 64: plexus ÷ moleculer, nothing on",
      is: "at least",
      bar: 1.1,
      of: (value) => value("plexus", throughput(64)) / value("moleculer", throughput(64)),
    },
    {
      name: "calls/s at 64: plexus ÷ moleculer, like for like",
      is: "at least",
      bar: 2,
      of: (value) => value("plexus", throughput(64)) / value("moleculer-guarded", throughput(64)),
    },
    {
      name: "p99 at 1: plexus ÷ nats",
      is: "at most",
      bar: 1.3,
      of: (value) => value("plexus", p99(1)) / value("nats", p99(1)),
    },
  ],
  sample,
};

async function sample(contender: ContenderName, site: Site): Promise<Measurement[]> {
  await using responder = Remote.start<Responder>("responder");
  await using caller = Remote.start<Caller>("caller");
  await responder.ask("respond", contender, site, { kind: "echo", ms: 0 }, 1024);
  await caller.ask("connect", contender, site, { replicas: 1 });

  const measurements: Measurement[] = [];
  for (const { calls, warmUp } of loads) {
    await caller.ask("closed", calls, site.quick ? warmUp.quick : warmUp.full);
    const result = await caller.ask("closed", calls, site.quick ? 0.5 : 2);
    measurements.push(
      { name: throughput(calls), unit: "1/s", value: result.perSecond },
      { name: `p50, ${calls} outstanding`, unit: "ms", value: result.p50 },
      { name: p99(calls), unit: "ms", value: result.p99 },
    );
  }
  return measurements;
}
