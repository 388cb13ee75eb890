import { sleep } from "./clock.ts";
import { cpuSeconds } from "./processes.ts";
import { Remote } from "./remote.ts";
import type { Crowd } from "./roles/crowd.ts";
import type { Newcomer } from "./roles/newcomer.ts";
import type { Bench, Measurement, Site } from "./rounds.ts";

const PROCESSES = 4;
const INSTANCES = 1000;

/** A mesh of a thousand agents: how fast a newcomer sees them all, and what they cost while nothing happens. */
export const registry: Bench<"plexus"> = {
  contenders: ["plexus"],
  rounds: { full: 5, quick: 1 },
  bars: [
    {
      name: `seconds until a newcomer sees ${INSTANCES} instances`,
      is: "at most",
      bar: 2,
      of: (value) => value("plexus", "newcomer sees all"),
    },
    {
      name: "broker CPU at rest, % of a core",
      is: "at most",
      bar: 5,
      of: (value) => value("plexus", "broker CPU at rest"),
    },
  ],
  sample,
};

async function sample(_: "plexus", { quick, brokerPid, ...place }: Site): Promise<Measurement[]> {
  await using stack = new AsyncDisposableStack();
  const crowds = Array.from({ length: PROCESSES }, () => stack.use(Remote.start<Crowd>("crowd")));
  await Promise.all(
    crowds.map((crowd, index) => crowd.ask("host", place, index, INSTANCES / PROCESSES)),
  );
  const newcomer = stack.use(Remote.start<Newcomer>("newcomer"));
  const seconds = await newcomer.ask("secondsToSee", place, INSTANCES);
  await newcomer[Symbol.asyncDispose]();

  const rest = quick ? 8 : 20;
  await sleep(1000); // lets the start-up settle
  const before = cpuSeconds(brokerPid);
  await sleep(rest * 1000);
  const used = cpuSeconds(brokerPid) - before;
  return [
    { name: "newcomer sees all", unit: "s", value: seconds },
    { name: "broker CPU at rest", unit: "% of a core", value: (used / rest) * 100 },
  ];
}
