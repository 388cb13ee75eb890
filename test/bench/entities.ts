import { Remote } from "./remote.ts";
import { KEYED, type KeyedName } from "./entities/keyed.ts";
import type { KeyCaller } from "./roles/key-caller.ts";
import type { KeyOwner } from "./roles/key-owner.ts";
import type { Bench, Measurement, Site } from "./rounds.ts";

const ONE = "commands, 1 outstanding, 1,024 keys";
const MANY = "commands, 64 outstanding, 1,024 keys";
const HOT = "commands, 64 outstanding, one key";
const PACED = "p99 at 2,000 commands/s";
const STORED = "durable commands stored, 256 in flight";
const EXECUTED = "durable commands stored and executed";
const LONG = "commands, 64 outstanding, behind a long journal";
const LONG_PACED = "p99 at 2,000 commands/s, behind a long journal";
const KEYS = 1_024;

/** Commands of many keys, each recorded before it is answered. */
export const entities: Bench<KeyedName> = {
  contenders: ["nats", "plexus"],
  legend: KEYED,
  rounds: { full: 3, quick: 1 },
  bars: [
    {
      name: "ms, p99 at 2,000 commands/s: plexus",
      is: "at most",
      bar: 5,
      of: (value) => value("plexus", PACED),
    },
    {
      name: "commands/s at 64: plexus ÷ by hand",
      is: "at least",
      bar: 0.9,
      of: (value) => value("plexus", MANY) / value("nats", MANY),
    },
    {
      name: "commands/s at 64: long journal ÷ short one",
      is: "at least",
      bar: 0.8,
      of: (value) => value("plexus", LONG) / value("plexus", MANY),
    },
  ],
  sample,
};

async function sample(contender: KeyedName, { quick, ...place }: Site): Promise<Measurement[]> {
  await using owner = Remote.start<KeyOwner>("key-owner");
  await using caller = Remote.start<KeyCaller>("key-caller");
  await owner.ask("own", contender, place);
  await caller.ask("connect", contender, place);
  const seconds = quick ? 1.5 : 4;
  await caller.ask("closed", KEYS, 64, quick ? 1 : 2); // warm-up
  const many = await caller.ask("closed", KEYS, 64, seconds);
  const one = await caller.ask("closed", KEYS, 1, seconds);
  const hot = await caller.ask("closed", 1, 64, seconds);
  await caller.ask("open", KEYS, 2_000, quick ? 1 : 3); // its own warm-up: until then the slowest tell of the compiler
  const paced = await caller.ask("open", KEYS, 2_000, seconds);
  const sent = await caller.ask("sends", KEYS, 256, quick ? 10_000 : 50_000);
  const measurements = [
    { name: ONE, unit: "1/s", value: one.perSecond },
    { name: "p50 of them", unit: "ms", value: one.p50 },
    { name: MANY, unit: "1/s", value: many.perSecond },
    { name: HOT, unit: "1/s", value: hot.perSecond },
    { name: "p50 at 2,000 commands/s", unit: "ms", value: paced.p50 },
    { name: PACED, unit: "ms", value: paced.p99 },
    { name: STORED, unit: "1/s", value: sent.stored },
  ];
  if (contender !== "plexus") return measurements;
  await caller.ask("grow", place, quick ? 100_000 : 1_000_000);
  const long = await caller.ask("closed", KEYS, 64, seconds);
  const longPaced = await caller.ask("open", KEYS, 2_000, seconds);
  return [
    ...measurements,
    { name: EXECUTED, unit: "1/s", value: sent.executed },
    { name: LONG, unit: "1/s", value: long.perSecond },
    { name: LONG_PACED, unit: "ms", value: longPaced.p99 },
  ];
}
