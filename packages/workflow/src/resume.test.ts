import {
  isMeshError,
  type Checkpointer,
  type OwnedThread,
  type ReadRange,
  type StoredThread,
} from "@plexus/core";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { World, buildGraph, someBlocks, type Builder } from "../../../test/support/random-graph.ts";
import type { BreakpointOptions } from "./breakpoint.ts";
import { Command } from "./command.ts";
import type { CompiledGraph } from "./compiled-graph.ts";
import { MemoryCheckpointer } from "./memory-checkpointer.ts";
import type { Plan } from "./plan.ts";
import { decodeEvents } from "./record.ts";
import type { DurabilityMode } from "./run-log.ts";

/* Random graphs of every construct, cut off behind every record: whoever goes on from there comes to the same result. */

type Graph = CompiledGraph;

const THREAD = "t";

/** Executes the thread, from wherever it is, to its end: answers what it asks, sends what it waits for, goes on from breakpoints. */
async function toTheEnd(graph: Graph, durability: DurabilityMode): Promise<string> {
  const options = { thread: THREAD, durability };
  const before = await graph.getState(THREAD).catch(() => undefined);
  if (before?.status === "completed") return "completed";
  if (before?.status === "failed") return before.error!.message;
  try {
    let result = await graph.invoke(before === undefined || before.run === "" ? {} : null, options);
    let light = 0;
    while (result.status === "waiting") {
      const [question] = result.interrupts;
      result = question
        ? await graph.invoke(
            new Command({ resume: `to ${String(question.value)}`, interrupt: question.id }),
            options,
          )
        : result.paused
          ? await graph.invoke(null, options)
          : await graph.signal(THREAD, "go", light++ % 2 === 0 ? "red" : "green", options);
    }
    return "completed";
  } catch (error) {
    if (isMeshError(error, "FENCED")) throw error;
    return (error as Error).message;
  }
}

/** The ids of what is recorded as finished, in order. */
async function finished(store: MemoryCheckpointer): Promise<string[]> {
  const { records } = await store.read(THREAD, { whole: true });
  return [...decodeEvents(records)].flatMap(({ event }) =>
    event.type === "done" || (event.type === "failed" && event.instead) ? [event.task] : [],
  );
}

/** All nodes of a graph, as breakpoints call them. */
function nodesOf(plan: Plan, path = ""): string[] {
  return [...plan.nodes.values()].flatMap(({ name, nested }) =>
    [path + name].concat(nested ? nodesOf(nested.plan, `${path}${name}/`) : []),
  );
}

type Where = "none" | "before" | "after";
const someBreakpoints = fc.constantFrom<Where>("none", "before", "after");

/** A run pauses before or after every node of the graph and of its subgraphs. */
function breakpoints(builder: Builder, where: Where): BreakpointOptions {
  const all = nodesOf(builder.compile().plan);
  if (where === "none") return {};
  return where === "before" ? { interruptBefore: all } : { interruptAfter: all };
}

interface Told {
  readonly end: string;
  readonly values: unknown;
  readonly finished: readonly string[];
}

async function told(store: MemoryCheckpointer, graph: Graph, end: string): Promise<Told> {
  const { values } = await graph.getState(THREAD);
  return { end, values, finished: (await finished(store)).toSorted() };
}

async function calmRun(
  builder: Builder,
  world: World,
  options: BreakpointOptions,
): Promise<{ calm: Told; store: MemoryCheckpointer; undone: string[] }> {
  const store = new MemoryCheckpointer();
  const graph = builder.compile({ checkpointer: store, ...options });
  const calm = await told(store, graph, await toTheEnd(graph, "sync"));
  expect(new Set(calm.finished).size).toBe(calm.finished.length);
  const { undone } = world;
  world.forget();
  return { calm, store, undone };
}

const numRuns = Number(process.env["PLEXUS_WORKFLOW_GRAPHS"] ?? 40);
const PATIENCE_MS = 240_000; // hundreds of runs, on a machine that may be busy

test(
  "whoever goes on behind any record comes to the result of the undisturbed run, repeating nothing that is recorded",
  async () => {
    await fc.assert(
      fc.asyncProperty(someBlocks, fc.boolean(), someBreakpoints, async (blocks, fails, where) => {
        const world = new World();
        const builder = buildGraph(blocks, fails, world);
        const options = breakpoints(builder, where);
        const { calm, store, undone } = await calmRun(builder, world, options);
        expect(calm.end).toBe(fails ? "Node fails: Error: in the end" : "completed");

        const { records } = await store.read(THREAD, { whole: true });
        for (let length = 0; length < records.length; length++) {
          // One after the other, as they share a world.
          world.forget();
          const cut = new MemoryCheckpointer();
          const owned = await cut.own(THREAD);
          await owned.append(records.slice(0, length).map(({ bytes }) => bytes));
          await owned[Symbol.asyncDispose]();
          const before = [...decodeEvents(records.slice(0, length))];
          const graph = builder.compile({ checkpointer: cut, ...options });
          const after = await told(cut, graph, await toTheEnd(graph, "sync"));
          expect(after, `cut behind record ${length}`).toEqual(calm);
          expect(world.undone).toEqual(undone.slice(undone.length - world.undone.length));

          const run = before.find(({ event }) => event.type === "start")?.event;
          if (run?.type !== "start") continue;
          for (const { event } of before) {
            if (event.type !== "done" && event.type !== "effect") continue;
            const what = `${THREAD}/${run.run}/${event.task}`;
            const key = event.type === "effect" ? `${what}:${event.name}` : what;
            expect(world.done.get(key), `${key}, cut behind record ${length}`).toBeUndefined();
          }
        }
      }),
      { numRuns },
    );
  },
  PATIENCE_MS,
);

/** Dies at one of its appends, before or after that has been stored; then its lease expires. */
class Dying implements Checkpointer {
  readonly #store: MemoryCheckpointer;
  readonly #stored: boolean;
  #left: number;

  constructor(store: MemoryCheckpointer, appends: number, stored: boolean) {
    this.#store = store;
    this.#left = appends;
    this.#stored = stored;
  }

  async own(thread: string): Promise<OwnedThread> {
    const owned = await this.#store.own(thread);
    const write = owned.append.bind(owned);
    owned.append = async (records) => {
      const dies = this.#left-- <= 0;
      if (dies && !this.#stored) this.#store.revoke(thread);
      await write(records);
      if (dies && this.#stored) this.#store.revoke(thread);
      await new Promise(setImmediate); // a write takes its time
    };
    return owned;
  }

  read(thread: string, range?: ReadRange): Promise<StoredThread> {
    return this.#store.read(thread, range);
  }

  list(): AsyncIterable<string> {
    return this.#store.list();
  }
}

const deaths = fc.array(fc.tuple(fc.integer({ min: 0, max: 6 }), fc.boolean()), { maxLength: 6 });

test(
  "processes that die one after the other, at any write and in any durability, leave the result of the undisturbed run",
  async () => {
    await fc.assert(
      fc.asyncProperty(
        someBlocks,
        fc.boolean(),
        someBreakpoints,
        fc.constantFrom<DurabilityMode>("sync", "async", "exit"),
        deaths,
        async (blocks, fails, where, durability, dying) => {
          const world = new World();
          const builder = buildGraph(blocks, fails, world);
          const options = breakpoints(builder, where);
          const { calm } = await calmRun(builder, world, options);
          const store = new MemoryCheckpointer();
          for (const [appends, stored] of dying) {
            const checkpointer = new Dying(store, appends, stored);
            await toTheEnd(builder.compile({ checkpointer, ...options }), durability).catch(
              (error: unknown) => {
                if (!isMeshError(error, "FENCED")) throw error;
              },
            );
          }
          const graph = builder.compile({ checkpointer: store, ...options });
          const after = await told(store, graph, await toTheEnd(graph, durability));
          expect(after).toEqual(calm);
        },
      ),
      { numRuns },
    );
  },
  PATIENCE_MS,
);
