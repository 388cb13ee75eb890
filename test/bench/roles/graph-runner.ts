import { now } from "../clock.ts";
import {
  ITEMS,
  NAMES,
  openGraphs,
  type EngineName,
  type Graphs,
  type Store,
} from "../graphs/graph.ts";
import { closedLoop } from "../load.ts";
import { serve } from "../serve.ts";

let graphs: Graphs;

const EXPECTED: Record<keyof Graphs, string> = {
  linear: NAMES.join(),
  send: ITEMS.join(),
  durable: NAMES.join(),
};

const runner = {
  async open(engine: EngineName, store: Store) {
    graphs = await openGraphs(engine, store);
  },

  /** Runs a second, so many at once. Every result is looked at. */
  async runs(graph: keyof Graphs, atOnce: number, seconds: number): Promise<number> {
    let count = 0;
    const from = now();
    await closedLoop(atOnce, seconds, async () => {
      const written = await graphs[graph]();
      if (written.join() !== EXPECTED[graph]) throw new Error(`${graph} wrote ${written.join()}`);
      count++;
    });
    return (count / (now() - from)) * 1_000;
  },
};

export type GraphRunner = typeof runner;
serve(runner);
