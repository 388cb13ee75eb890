import type { Checkpointer } from "@plexus/core";
import type { CompiledGraph } from "@plexus/workflow";
import * as fc from "fast-check";
import { buildGraph, someBlocks, type Block, type World } from "../support/random-graph.ts";

const DRAWN = 300;
const MOST_BLOCKS = 14;

/** One of the graphs that a campaign executes. */
export interface SuiteGraph {
  readonly name: string;
  readonly blocks: Block[];
  /** Its last node fails, so all that can be undone is. */
  readonly fails: boolean;
}

/**
 * Draws graphs that have all constructs among them: the richest ones of many, the same for every process that is told the same seed.
 * Every second one fails in the end.
 */
export function drawSuite(seed: number, count: number): SuiteGraph[] {
  const left = fc
    .sample(someBlocks, { seed, numRuns: DRAWN })
    .map((blocks) => ({ blocks, all: constructsOf(blocks) }))
    .filter(({ all }) => all.length <= MOST_BLOCKS);
  const had = new Set<string>();
  return Array.from({ length: count }, (_, n) => {
    const worth = ({ all }: { all: readonly string[] }): number => {
      const kinds = new Set(all);
      return kinds.size + 2 * [...kinds].filter((kind) => !had.has(kind)).length;
    };
    left.sort((a, b) => worth(b) - worth(a));
    const { blocks, all } = left.shift()!;
    for (const kind of all) had.add(kind);
    return { name: `g${n}`, blocks, fails: n % 2 === 1 };
  });
}

/** What the graphs consist of, each once, in a word. */
export function constructs(suite: readonly SuiteGraph[]): string[] {
  return [...new Set(suite.flatMap(({ blocks }) => constructsOf(blocks)))].toSorted();
}

/** A graph of the suite, whose nodes tell the world what they do. */
export function compileGraph(
  { name, blocks, fails }: SuiteGraph,
  world: World,
  checkpointer?: Checkpointer,
): CompiledGraph {
  return buildGraph(blocks, fails, world, name).compile(checkpointer ? { checkpointer } : {});
}

function constructsOf(blocks: readonly Block[]): string[] {
  return blocks.flatMap((block) => {
    if (block.kind === "waits") return [`wait for ${block.on}`];
    if (block.kind === "sub") return ["subgraph", ...constructsOf(block.blocks)];
    const undone = "undo" in block && block.undo ? ["compensation"] : [];
    return [block.kind, ...undone];
  });
}
