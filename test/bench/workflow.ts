import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ENGINES, type EngineName, type Graphs } from "./graphs/graph.ts";
import { Remote } from "./remote.ts";
import type { GraphRunner } from "./roles/graph-runner.ts";
import type { Bench, Measurement, Site } from "./rounds.ts";

const LINEAR = "5 nodes in a row, in process";
const SEND = "100-way send, in process";
const DURABLE = "5 nodes in a row, durable, 64 at once";

/** Workflow graphs, beside LangGraph.js: the same graphs in one process, with nothing recorded, and as runs that survive it. */
export const workflow: Bench<EngineName> = {
  contenders: ["langgraph", "plexus"],
  legend: ENGINES,
  rounds: { full: 5, quick: 1 },
  bars: [
    { name: LINEAR, bar: 20 },
    { name: SEND, bar: 20 },
    { name: DURABLE, bar: 5 },
  ].map(({ name, bar }) => ({
    name: `${name}, runs/s: plexus ÷ langgraph`,
    is: "at least",
    bar,
    of: (value) => value("plexus", name) / value("langgraph", name),
  })),
  sample,
};

async function sample(engine: EngineName, site: Site): Promise<Measurement[]> {
  const { quick, servers, namespace } = site;
  const folder = await mkdtemp(join(tmpdir(), "plexus-bench-"));
  await using runner = Remote.start<GraphRunner>("graph-runner");
  try {
    await runner.ask("open", engine, { servers, namespace, folder });
    const rate = async (
      name: string,
      graph: keyof Graphs,
      atOnce: number,
    ): Promise<Measurement> => {
      await runner.ask("runs", graph, atOnce, quick ? 2 : 5); // warm-up: the compiler needs its time
      return { name, unit: "1/s", value: await runner.ask("runs", graph, atOnce, quick ? 3 : 5) };
    };
    return [
      await rate(LINEAR, "linear", 1),
      await rate(SEND, "send", 1),
      await rate(DURABLE, "durable", 64),
    ];
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
