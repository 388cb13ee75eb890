import { ENGINES, type EngineName, type Graphs } from "./graphs/graph.ts";
import { Remote } from "./remote.ts";
import type { GraphRunner } from "./roles/graph-runner.ts";
import type { Bench, Measurement, Site } from "./rounds.ts";

const LINEAR = "5 nodes in a row, in process";
const SEND = "100-way send, in process";

/** Workflow graphs, beside LangGraph.js: the same graphs in one process, nothing recorded. */
export const workflow: Bench<EngineName> = {
  contenders: ["langgraph", "plexus"],
  legend: ENGINES,
  rounds: { full: 5, quick: 1 },
  bars: [LINEAR, SEND].map((name) => ({
    name: `${name}, runs/s: plexus ÷ langgraph`,
    is: "at least",
    bar: 20,
    of: (value) => value("plexus", name) / value("langgraph", name),
  })),
  sample,
};

async function sample(engine: EngineName, { quick }: Site): Promise<Measurement[]> {
  await using runner = Remote.start<GraphRunner>("graph-runner");
  await runner.ask("open", engine);
  const rate = async (name: string, graph: keyof Graphs): Promise<Measurement> => {
    await runner.ask("runs", graph, quick ? 2 : 5); // warm-up: the compiler needs its time
    return { name, unit: "1/s", value: await runner.ask("runs", graph, quick ? 3 : 5) };
  };
  return [await rate(LINEAR, "linear"), await rate(SEND, "send")];
}
