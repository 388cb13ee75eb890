import { isMeshError } from "@plexus/core";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { z } from "zod";
import { append, sum } from "./channel.ts";
import type { Checkpointer, OwnedThread, ReadRange, StoredThread } from "./checkpointer.ts";
import { Command, END, START, Send } from "./command.ts";
import type { CompiledGraph } from "./compiled-graph.ts";
import type { NodeContext } from "./context.ts";
import { StateGraph } from "./graph.ts";
import { MemoryCheckpointer } from "./memory-checkpointer.ts";
import { decodeEvents } from "./record.ts";
import type { DurabilityMode } from "./run-log.ts";

/* Random graphs of every construct, cut off behind every record: whoever goes on from there comes to the same result. */

type Block =
  | { kind: "node"; slow: boolean; flaky: number; undo: boolean }
  | { kind: "waits"; on: "interrupt" | "event" | "time" | "condition"; times: number }
  | { kind: "effects"; count: number }
  | { kind: "parallel"; branches: number }
  | { kind: "fan"; items: number; concurrency: number; failing: number }
  | { kind: "loop"; times: number }
  | { kind: "handoff"; undo: boolean }
  | { kind: "sub"; blocks: Block[] };

const small = fc.integer({ min: 1, max: 3 });
const { blocks: someBlocks } = fc.letrec<{ block: Block; blocks: Block[] }>((tie) => ({
  blocks: fc.array(tie("block"), { minLength: 1, maxLength: 4 }),
  block: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.record({
      kind: fc.constant("node" as const),
      slow: fc.boolean(),
      flaky: fc.integer({ min: 0, max: 2 }),
      undo: fc.boolean(),
    }),
    fc.record({
      kind: fc.constant("waits" as const),
      on: fc.constantFrom("interrupt", "event", "time", "condition"),
      times: small,
    }),
    fc.record({ kind: fc.constant("effects" as const), count: small }),
    fc.record({ kind: fc.constant("parallel" as const), branches: fc.integer({ min: 2, max: 3 }) }),
    fc.record({
      kind: fc.constant("fan" as const),
      items: fc.integer({ min: 0, max: 5 }),
      concurrency: small,
      failing: fc.integer({ min: 0, max: 2 }),
    }),
    fc.record({ kind: fc.constant("loop" as const), times: small }),
    fc.record({ kind: fc.constant("handoff" as const), undo: fc.boolean() }),
    fc.record({ kind: fc.constant("sub" as const), blocks: tie("blocks") }),
  ),
}));

const channels = { log: append(z.string()), total: sum() };
type Graph = CompiledGraph;
type Builder = StateGraph<typeof channels, z.ZodType, z.ZodType, string>;
type Handler = (input: unknown, context: NodeContext) => object | Promise<object>;

/** What nodes have done, whether it was recorded or not. */
class World {
  /** Executions begun, and effects had. */
  readonly done = new Map<string, number>();
  undone: string[] = [];

  count(what: string): void {
    this.done.set(what, (this.done.get(what) ?? 0) + 1);
  }

  forget(): void {
    this.done.clear();
    this.undone = [];
  }
}

/** A graph of the blocks, one after the other. */
function build(blocks: Block[], fails: boolean, world: World, name = "top"): Builder {
  let graph = new StateGraph(channels, { name }) as unknown as Builder;
  let last: string = START;
  const link = (to: string): void => {
    graph.addEdge(last, to);
    last = to;
  };
  const node = (id: string, handler: Handler, options: object = {}): void => {
    const counted: Handler = (input, context) => {
      world.count(context.execution);
      return handler(input, context);
    };
    graph = graph.addNode(id, counted, options);
  };
  const undo = (id: string): object => ({
    compensate: (update: { total: number }, context: NodeContext) => {
      world.count(context.execution);
      world.undone.push(`${name}/${id}:${update.total}`);
    },
  });
  for (const [i, block] of blocks.entries()) {
    const id = `${block.kind}${i}`;
    switch (block.kind) {
      case "node": {
        node(
          id,
          async (_, { attempt }) => {
            if (block.slow) await new Promise(setImmediate);
            if (attempt <= block.flaky) throw new Error(`attempt ${attempt}`);
            return { log: [id], total: i };
          },
          { retry: { attempts: 3, first: 1, max: 1 }, ...(block.undo ? undo(id) : {}) },
        );
        link(id);
        break;
      }
      case "waits": {
        node(id, async (_, context) => {
          const answers: unknown[] = [];
          for (let n = 0; n < block.times; n++) {
            if (block.on === "interrupt") {
              answers.push(context.interrupt(`${id}.${n}`, z.string()));
            } else if (block.on === "event") {
              answers.push(context.waitFor<string>("go", { when: (value) => value === "green" }));
            } else if (block.on === "time") {
              context.sleep(1);
            } else {
              // oxlint-disable-next-line no-await-in-loop -- waits follow each other
              await context.until(() => true, { every: 1 });
            }
          }
          return { log: [`${id}:${JSON.stringify(answers)}`] };
        });
        link(id);
        break;
      }
      case "effects": {
        node(id, async (_, context) => {
          const log: string[] = [];
          for (let n = 0; n < block.count; n++) {
            const effect = (key: string): string => {
              world.count(key);
              return `effect ${n}`;
            };
            // oxlint-disable-next-line no-await-in-loop -- effects follow each other
            log.push(await context.effect(`e${n}`, effect));
            if (n === 1) context.sleep(1);
          }
          return { log };
        });
        link(id);
        break;
      }
      case "parallel": {
        const branches = Array.from({ length: block.branches }, (_, n) => `${id}b${n}`);
        const from = last;
        for (const branch of branches) {
          node(branch, async () => ({ log: [branch], total: 1 }));
          graph.addEdge(from, branch);
        }
        // The first branch is longer than the others: the join has to wait for it.
        node(`${id}long`, () => ({ log: [`${id}long`] }));
        graph.addEdge(branches[0]!, `${id}long`);
        node(`${id}join`, () => ({ log: [`${id}join`] }));
        graph.addEdge([`${id}long`, ...branches.slice(1)], `${id}join`);
        last = `${id}join`;
        break;
      }
      case "fan": {
        node(`${id}from`, () => ({}));
        link(`${id}from`);
        node(
          `${id}each`,
          async (input) => {
            const item = input as number;
            if (item % 2 === 0) await new Promise(setImmediate);
            if (item < block.failing) throw new Error(`item ${item}`);
            return { log: [`${id}:${item}`], total: item };
          },
          {
            concurrency: block.concurrency,
            failures: {
              instead: (error: Error, input: unknown) => ({
                log: [`${String(input)} ${error.message}`],
              }),
            },
          },
        );
        node(`${id}to`, () => ({ log: [`${id}to`] }), { defer: true });
        const items = Array.from({ length: block.items }, (_, n) => n);
        graph.addConditionalEdges(
          `${id}from`,
          () => (items.length > 0 ? items.map((n) => new Send(`${id}each`, n)) : `${id}to`),
          [`${id}each`, `${id}to`],
        );
        graph.addEdge(`${id}each`, `${id}to`);
        last = `${id}to`;
        break;
      }
      case "loop": {
        node(id, (_, { visits }) => ({ log: [`${id}.${visits}`], total: visits }));
        node(`${id}out`, () => ({}));
        link(id);
        graph.addConditionalEdges(
          id,
          async (_, { visits }) => (visits < block.times ? "again" : "out"),
          { again: id, out: `${id}out` },
        );
        last = `${id}out`;
        break;
      }
      case "handoff": {
        node(id, () => new Command({ goto: `${id}to`, update: { log: [id], total: 2 } }), {
          ends: [`${id}to`],
          ...(block.undo ? undo(id) : {}),
        });
        link(id);
        node(`${id}to`, () => ({}));
        last = `${id}to`;
        break;
      }
      case "sub": {
        const inner = build(block.blocks, false, world, `${name}-${id}`).compile();
        graph = graph.addSubgraph(id, inner, {
          map: (state) => ({ log: [`in ${id}`], total: (state as { total: number }).total }),
          merge: (output) => ({ log: (output as { log: string[] }).log }),
        });
        link(id);
        break;
      }
    }
  }
  if (fails) {
    node("fails", () => {
      throw new Error("in the end");
    });
    link("fails");
  }
  return graph.addEdge(last, END);
}

const THREAD = "t";

/** Executes the thread, from wherever it is, to its end: answers what it asks and sends what it waits for. */
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
      // oxlint-disable no-await-in-loop -- one answer after the other
      result = question
        ? await graph.invoke(
            new Command({ resume: `to ${String(question.value)}`, interrupt: question.id }),
            options,
          )
        : await graph.signal(THREAD, "go", light++ % 2 === 0 ? "red" : "green", options);
      // oxlint-enable no-await-in-loop
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
): Promise<{ calm: Told; store: MemoryCheckpointer; undone: string[] }> {
  const store = new MemoryCheckpointer();
  const graph = builder.compile({ checkpointer: store });
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
      fc.asyncProperty(someBlocks, fc.boolean(), async (blocks, fails) => {
        const world = new World();
        const builder = build(blocks, fails, world);
        const { calm, store, undone } = await calmRun(builder, world);
        expect(calm.end).toBe(fails ? "Node fails: Error: in the end" : "completed");

        const { records } = await store.read(THREAD, { whole: true });
        for (let length = 0; length < records.length; length++) {
          // oxlint-disable no-await-in-loop -- one after the other, as they share a world
          world.forget();
          const cut = new MemoryCheckpointer();
          const owned = await cut.own(THREAD);
          await owned.append(records.slice(0, length).map(({ bytes }) => bytes));
          await owned[Symbol.asyncDispose]();
          const before = [...decodeEvents(records.slice(0, length))];
          const graph = builder.compile({ checkpointer: cut });
          const after = await told(cut, graph, await toTheEnd(graph, "sync"));
          // oxlint-enable no-await-in-loop
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
        fc.constantFrom<DurabilityMode>("sync", "async", "exit"),
        deaths,
        async (blocks, fails, durability, dying) => {
          const world = new World();
          const builder = build(blocks, fails, world);
          const { calm } = await calmRun(builder, world);
          const store = new MemoryCheckpointer();
          for (const [appends, stored] of dying) {
            const checkpointer = new Dying(store, appends, stored);
            // oxlint-disable-next-line no-await-in-loop -- one life after the other
            await toTheEnd(builder.compile({ checkpointer }), durability).catch(
              (error: unknown) => {
                if (!isMeshError(error, "FENCED")) throw error;
              },
            );
          }
          const graph = builder.compile({ checkpointer: store });
          const after = await told(store, graph, await toTheEnd(graph, durability));
          expect(after).toEqual(calm);
        },
      ),
      { numRuns },
    );
  },
  PATIENCE_MS,
);
