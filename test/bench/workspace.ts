import { Remote } from "./remote.ts";
import type { Committer } from "./roles/committer.ts";
import type { Shelf } from "./roles/shelf.ts";
import type { Bench, Measurement, Site } from "./rounds.ts";
import { DEPTHS, type Where } from "./workspaces/history.ts";

const HISTORIES = { full: [10_000, 100_000, 1_000_000], quick: [10_000, 100_000] };
const PART = 50_000; // commits of a history that are written at a time
const SHORT = 10_000;
const calm = (commits: number): string => `commit without a conflict, history of ${words(commits)}`;
const behind = (depth: number, commits: number, where: Where = "recent"): string =>
  `refused, ${words(depth)} commits behind (${where}), history of ${words(commits)}`;
const THROUGHPUT = "commits, 16 outstanding, one workspace";

type Value = (contender: "plexus", name: string) => number;

/** What a commit costs, and finding out why it is refused, over the length of history. */
export const workspace: Bench<"plexus"> = {
  contenders: ["plexus"],
  rounds: { full: 1, quick: 1 },
  bars: [
    {
      name: "ms, commit without a conflict: longest history ÷ shortest",
      is: "at most",
      bar: 2,
      of: (value) => longest(value, calm) / value("plexus", calm(SHORT)),
    },
    ...[10, 1_000].map((depth) => ({
      name: `ms, ${words(depth)} commits behind: longest history ÷ shortest`,
      is: "at most" as const,
      bar: 2,
      of: (value: Value) =>
        longest(value, (commits) => behind(depth, commits)) / value("plexus", behind(depth, SHORT)),
    })),
  ],
  sample,
};

/** Of the histories that were measured, the longest one's. */
function longest(value: Value, name: (commits: number) => string): number {
  const measured = HISTORIES.full.map((commits) => value("plexus", name(commits)));
  return measured.findLast((one) => Number.isFinite(one)) ?? Number.NaN;
}

async function sample(_contender: "plexus", { quick, ...place }: Site): Promise<Measurement[]> {
  const measurements: Measurement[] = [];
  await using shelf = Remote.start<Shelf>("shelf");
  await shelf.ask("host", place); // it makes the journal
  await using committer = Remote.start<Committer>("committer");
  for (const commits of quick ? HISTORIES.quick : HISTORIES.full) {
    // One after the other, each at the end of the journal when it is measured.
    await shelf.ask("stop");
    await shelf.ask("begin", place, `history-${commits}`, commits);
    while (!(await shelf.ask("grow", PART)));
    await shelf.ask("end");
    await shelf.ask("host", place);
    const head = await committer.ask("open", place, `history-${commits}`);
    if (head !== commits) throw new Error(`The workspace is at ${head}, not at ${commits}.`);
    await committer.ask("calm", 300); // warm-up
    const times: [string, number][] = [[calm(commits), await committer.ask("calm", 300)]];
    for (const depth of DEPTHS) {
      times.push([behind(depth, commits), await committer.ask("behind", "recent", depth)]);
    }
    const spread = await committer.ask("behind", "spread", 10);
    times.push([behind(10, commits, "spread"), spread]);
    for (const [name, value] of times) measurements.push({ name, unit: "ms", value });
  }
  const value = await committer.ask("many", 16, quick ? 2 : 5);
  return [...measurements, { name: THROUGHPUT, unit: "1/s", value }];
}

function words(count: number): string {
  return count.toLocaleString("en-US");
}
