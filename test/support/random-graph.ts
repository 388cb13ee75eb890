import {
  Command,
  END,
  START,
  Send,
  StateGraph,
  append,
  sum,
  type NodeContext,
} from "@plexus/workflow";
import * as fc from "fast-check";
import { z } from "zod";

/** A part of a graph. */
export type Block =
  | { kind: "node"; slow: boolean; flaky: number; undo: boolean }
  | { kind: "waits"; on: "interrupt" | "event" | "time" | "condition"; times: number }
  | { kind: "effects"; count: number }
  | { kind: "parallel"; branches: number }
  | { kind: "fan"; items: number; concurrency: number; failing: number }
  | { kind: "loop"; times: number }
  | { kind: "handoff"; undo: boolean }
  | { kind: "sub"; blocks: Block[] }
  | { kind: "parent"; blocks: Block[]; sends: boolean };

const small = fc.integer({ min: 1, max: 3 });
/** Any graph, of every construct, as a list of blocks. */
export const { blocks: someBlocks } = fc.letrec<{ block: Block; blocks: Block[] }>((tie) => ({
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
    fc.record({
      kind: fc.constant("parent" as const),
      blocks: tie("blocks"),
      sends: fc.boolean(),
    }),
  ),
}));

const channels = { log: append(z.string()), total: sum() };
/** A graph that is being built. */
export type Builder = StateGraph<typeof channels, z.ZodType, z.ZodType, string>;
type Handler = (input: unknown, context: NodeContext) => object | Promise<object>;

/** What nodes have done, whether it was recorded or not. */
export class World {
  /** Executions begun, and effects had. */
  readonly done = new Map<string, number>();
  undone: string[] = [];

  count(what: string): void {
    this.done.set(what, (this.done.get(what) ?? 0) + 1);
  }

  /** How long what is done takes; undefined: no time at all. */
  pause(): Promise<void> | undefined {
    return undefined;
  }

  forget(): void {
    this.done.clear();
    this.undone = [];
  }
}

/**
 * A graph of the blocks, one after the other. At its end is a node that fails, if it `fails`, or one that ends it by a command to the graph
 * around it, if it `leaves`. What its nodes do is told to the world.
 */
export function buildGraph(
  blocks: Block[],
  fails: boolean,
  world: World,
  name = "top",
  leaves?: () => Command,
): Builder {
  let graph = new StateGraph(channels, { name }) as unknown as Builder;
  let last: string = START;
  const link = (to: string): void => {
    graph.addEdge(last, to);
    last = to;
  };
  const node = (id: string, handler: Handler, options: object = {}): void => {
    const counted: Handler = (input, context) => {
      world.count(context.execution);
      return behind(world.pause(), () => handler(input, context));
    };
    graph = graph.addNode(id, counted, options);
  };
  const undo = (id: string): object => ({
    compensate: (update: { total: number }, context: NodeContext) => {
      world.count(context.execution);
      return behind(world.pause(), () => {
        world.undone.push(`${name}/${id}:${update.total}`);
      });
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
              // Waits follow each other.
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
            const effect = (key: string): string | Promise<string> => {
              world.count(key);
              return behind(world.pause(), () => `effect ${n}`);
            };
            // Effects follow each other.
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
        const inner = buildGraph(block.blocks, false, world, `${name}-${id}`).compile();
        graph = graph.addSubgraph(id, inner, {
          map: (state) => ({ log: [`in ${id}`], total: (state as { total: number }).total }),
          merge: (output) => ({ log: (output as { log: string[] }).log }),
        });
        link(id);
        break;
      }
      case "parent": {
        const to = `${id}to`;
        const goto = block.sends ? [new Send(to, 1), new Send(to, 2)] : to;
        const command = (): Command =>
          new Command({ graph: Command.PARENT, goto, update: { log: [id], total: 3 } });
        const inner = buildGraph(block.blocks, false, world, `${name}-${id}`, command).compile();
        graph = graph.addSubgraph(id, inner, {
          map: () => ({ log: [`in ${id}`] }),
          merge: () => ({ log: ["never"] }),
          ends: [to],
        });
        link(id);
        node(to, (input) => ({ log: [typeof input === "number" ? `${to} ${input}` : to] }));
        last = to;
        break;
      }
    }
  }
  if (leaves !== undefined) {
    const before = last;
    node("leaves", leaves, { ends: [Command.PARENT] });
    link("leaves");
    // In the same step, and what would follow it is not executed any more.
    node("beside", async () => ({ log: ["beside"] }));
    graph.addEdge(before, "beside");
    last = "beside";
  }
  if (fails) {
    node("fails", () => {
      throw new Error("in the end");
    });
    link("fails");
  }
  return graph.addEdge(last, END);
}

function behind<T>(pause: Promise<void> | undefined, work: () => T | Promise<T>): T | Promise<T> {
  return pause === undefined ? work() : pause.then(work);
}
