import { now } from "../clock.ts";
import { ITEMS, NAMES, openGraphs, type EngineName, type Graphs } from "../graphs/graph.ts";
import { closedLoop } from "../load.ts";
import { serve } from "../serve.ts";

let graphs: Graphs;

const EXPECTED: Record<keyof Graphs, string> = {
  linear: NAMES.join(),
  send: ITEMS.join(),
};

const runner = {
  async open(engine: EngineName) {
    graphs = await openGraphs(engine);
  },

  /** Runs a second, one after the other. Every result is looked at. */
  async runs(graph: keyof Graphs, seconds: number): Promise<number> {
    let count = 0;
    const from = now();
    await closedLoop(1, seconds, async () => {
      const written = await graphs[graph]();
      if (written.join() !== EXPECTED[graph]) throw new Error(`${graph} wrote ${written.join()}`);
      count++;
    });
    return (count / (now() - from)) * 1_000;
  },
};

export type GraphRunner = typeof runner;
serve(runner);
