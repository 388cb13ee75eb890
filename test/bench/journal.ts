import { RECORDERS, type RecorderName } from "./journal/recorder.ts";
import { Remote } from "./remote.ts";
import type { KeyCaller } from "./roles/key-caller.ts";
import type { KeyOwner } from "./roles/key-owner.ts";
import type { RecorderRole } from "./roles/recorder.ts";
import type { Bench, Measurement, Site } from "./rounds.ts";

const APPEND = "events appended, 256 in flight, 1,024 keys";
const ALL = "appends to three keys at once, 32 in flight";
const REBUILD = "events folded by a rebuild";
const COMMANDS = "p99 of entity commands at 2,000/s";
const AT_ONCE = 3;

/** Appending to a journal, and building a state from all of it. */
export const journal: Bench<RecorderName> = {
  contenders: ["nats", "plexus"],
  legend: RECORDERS,
  rounds: { full: 3, quick: 1 },
  bars: [
    {
      name: "events appended/s: plexus",
      is: "at least",
      bar: 25_000,
      of: (value) => value("plexus", APPEND),
    },
    {
      name: "appends to three keys at once/s: plexus",
      is: "at least",
      bar: 3_000,
      of: (value) => value("plexus", ALL),
    },
    {
      name: "events/s of a rebuild: plexus",
      is: "at least",
      bar: 200_000,
      of: (value) => value("plexus", REBUILD),
    },
    {
      name: "ms, p99 of entity commands at 2,000/s: plexus",
      is: "at most",
      bar: 5,
      of: (value) => value("plexus", COMMANDS),
    },
  ],
  sample,
};

async function sample(contender: RecorderName, { quick, ...place }: Site): Promise<Measurement[]> {
  await using writer = Remote.start<RecorderRole>("recorder");
  await writer.ask("connect", contender, place);
  // A set costs the raw client a batch of its own.
  const together = (quick ? 4_000 : 20_000) / (contender === "nats" ? 10 : 1);
  const events = quick ? 200_000 : 1_000_000;
  await writer.ask("append", 20_000, 256); // warm-up
  const append = await writer.ask("append", events - 20_000 - together * AT_ONCE, 256);
  const all = await writer.ask("appendAll", together, 32, AT_ONCE);
  await using reader = Remote.start<RecorderRole>("recorder");
  await reader.ask("connect", contender, place);
  const rebuild = await reader.ask("rebuild");
  if (rebuild.events !== events) throw new Error(`${rebuild.events} of ${events} events are there`);
  const measurements = [
    { name: APPEND, unit: "1/s", value: append },
    { name: ALL, unit: "1/s", value: all },
    { name: REBUILD, unit: "1/s", value: rebuild.perSecond },
  ];
  if (contender !== "plexus") return measurements;
  return [...measurements, { name: COMMANDS, unit: "ms", value: await commands(place, quick) }];
}

async function commands(place: Omit<Site, "quick">, quick: boolean): Promise<number> {
  await using owner = Remote.start<KeyOwner>("key-owner");
  await using caller = Remote.start<KeyCaller>("key-caller");
  await owner.ask("own", "plexus", place);
  await caller.ask("connect", "plexus", place);
  await caller.ask("closed", 1_024, 64, quick ? 1 : 2); // warm-up, as in `entities`
  await caller.ask("open", 1_024, 2_000, quick ? 1 : 3);
  return (await caller.ask("open", 1_024, 2_000, quick ? 2 : 6)).p99;
}
