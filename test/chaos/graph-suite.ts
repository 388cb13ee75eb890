import type { Checkpointer } from "@plexus/core";
import { END, START, StateGraph, append, sum, type CompiledGraph } from "@plexus/workflow";
import * as fc from "fast-check";
import { z } from "zod";
import { buildGraph, someBlocks, type Block, type World } from "../support/random-graph.ts";

const DRAWN = 300;
const MOST_CONSTRUCTS = 14;

/** A graph that a campaign executes. */
export interface SuiteGraph {
  readonly name: string;
  /** With its nodes telling the world what they do. */
  compile(world: World, checkpointer?: Checkpointer): CompiledGraph;
}

/** A run that a campaign begins, again and again. */
export interface SuiteRun {
  readonly name: string;
  readonly graph: SuiteGraph;
  readonly input: object;
}

/** What is executed. */
export interface Suite {
  readonly graphs: readonly SuiteGraph[];
  readonly runs: readonly SuiteRun[];
  /** What the graphs consist of, each once, in a word. */
  readonly constructs: readonly string[];
}

/**
 * Draws graphs that have all constructs among them: the richest ones of many, the same for every process that is told the same seed.
 * Two are hosted as they are, and all of them as subgraphs of a third one, whose input says which, as each graph that is hosted
 * costs leases.
 */
export function drawSuite(seed: number, count: number): Suite {
  const drawn = draw(seed, count).map((blocks, n) => ({
    blocks,
    fails: endsInFailure(n),
    name: `g${n}`,
  }));
  const alone = drawn.slice(0, 2).map(({ blocks, fails, name }): SuiteGraph => {
    const compile: SuiteGraph["compile"] = (world, checkpointer) =>
      buildGraph(blocks, fails, world, name).compile({ ...(checkpointer && { checkpointer }) });
    return { name, compile };
  });
  const all: SuiteGraph = {
    name: "all",
    compile(world, checkpointer) {
      const names = drawn.map(({ name }) => name);
      const channels = { which: z.string(), log: append(z.string()), total: sum() };
      let graph = new StateGraph(channels, { name: "all" }) as StateGraph<
        typeof channels,
        z.ZodType,
        z.ZodType,
        string
      >;
      for (const { blocks, fails, name } of drawn) {
        graph = graph
          .addEdge(name, END)
          .addSubgraph(name, buildGraph(blocks, fails, world, `all-${name}`).compile(), {
            map: () => ({ log: [`in ${name}`] }),
            merge: (output) => output as { log: string[]; total: number },
          });
      }
      return graph
        .addConditionalEdges(START, ({ which }) => which, names)
        .compile({ ...(checkpointer && { checkpointer }) });
    },
  };
  const runs = [
    ...alone.map((graph) => ({ name: graph.name, graph, input: {} })),
    ...drawn.map(({ name }) => ({ name: `all-${name}`, graph: all, input: { which: name } })),
  ];
  const constructs = [...new Set(drawn.flatMap(({ blocks }) => constructsOf(blocks)))].toSorted();
  return { graphs: [...alone, all], runs, constructs };
}

/** Every second one fails in the end. */
function endsInFailure(n: number): boolean {
  return n % 2 === 1;
}

function draw(seed: number, count: number): Block[][] {
  const left = fc
    .sample(someBlocks, { seed, numRuns: DRAWN })
    .map((blocks) => ({ blocks, constructs: constructsOf(blocks) }))
    .filter(({ constructs }) => constructs.length <= MOST_CONSTRUCTS);
  const had = new Set<string>();
  return Array.from({ length: count }, (_, n) => {
    const worth = left.map(({ constructs }) => {
      const kinds = new Set(constructs);
      const undone = endsInFailure(n)
        ? constructs.filter((kind) => kind === "compensation").length
        : 0;
      return kinds.size + undone + 2 * [...kinds].filter((kind) => !had.has(kind)).length;
    });
    const [{ blocks, constructs }] = left.splice(worth.indexOf(Math.max(...worth)), 1) as [
      (typeof left)[number],
    ];
    for (const kind of constructs) had.add(kind);
    return blocks;
  });
}

function constructsOf(blocks: readonly Block[]): string[] {
  return blocks.flatMap((block) => {
    if (block.kind === "waits") return [`wait for ${block.on}`];
    if (block.kind === "sub") return ["subgraph", ...constructsOf(block.blocks)];
    if (block.kind === "parent") return ["command to the parent", ...constructsOf(block.blocks)];
    return "undo" in block && block.undo ? [block.kind, "compensation"] : [block.kind];
  });
}
