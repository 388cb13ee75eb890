import * as langgraph from "@langchain/langgraph";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { gate } from "../../../test/support/mesh.ts";
import { append, sum } from "./channel.ts";
import { Command, END, START } from "./command.ts";
import type { NodeContext } from "./context.ts";
import { StateGraph } from "./graph.ts";
import * as plexus from "./index.ts";
import { MemoryCheckpointer } from "./memory-checkpointer.ts";

/* What the README's side-by-side table says, of the real @langchain/langgraph and of this package. */

const { Annotation, MemorySaver } = langgraph;
const State = Annotation.Root({
  value: Annotation<number>,
  log: Annotation<string[]>({ reducer: (a, b) => [...a, ...b], default: () => [] }),
});
type Update = Partial<typeof State.State>;
const kept = { configurable: { thread_id: "t" } };
const channels = { value: z.number(), log: append(z.string()) };
const keptHere = { thread: "t" };

/** One node between START and END, there and here. */
const there = (node: (state: typeof State.State) => unknown, options = {}) =>
  new langgraph.StateGraph(State)
    .addNode("node", node as () => Update)
    .addEdge(langgraph.START, "node")
    .addEdge("node", langgraph.END)
    .compile(options);
const here = (node: (state: { value: number }, ctx: NodeContext) => unknown, options = {}) =>
  new StateGraph(channels)
    .addNode("node", (state, ctx) => node(state, ctx) as object)
    .addEdge(START, "node")
    .addEdge("node", END)
    .compile(options);

/** Asks, and catches whatever that throws. */
function swallow(ask: () => unknown): { log: string[] } {
  try {
    return { log: [String(ask())] };
  } catch {
    return { log: ["swallowed"] };
  }
}

describe("what is silent there and told here", () => {
  test("an answer to an interrupt that is false, 0 or empty is refused there", async () => {
    for (const answer of [false, 0, ""]) {
      const asks = there(() => ({ log: [String(langgraph.interrupt("well?"))] }), {
        checkpointer: new MemorySaver(),
      });
      const asksToo = here((_, ctx) => ({ log: [String(ctx.interrupt("well?"))] }), {
        checkpointer: new MemoryCheckpointer(),
      });
      await asks.invoke({ value: 1 }, kept);
      await expect(
        asks.invoke(new langgraph.Command({ resume: answer }), kept),
      ).rejects.toMatchObject({ name: "EmptyInputError" });
      await asksToo.invoke({}, keptHere);
      const { output } = await asksToo.invoke(new Command({ resume: answer }), keptHere);
      expect(output.log).toEqual([String(answer)]);
    }
  });

  test("a node that catches everything swallows an interrupt there", async () => {
    const graph = there(() => swallow(() => langgraph.interrupt("well?")), {
      checkpointer: new MemorySaver(),
    });
    expect(await graph.invoke({ value: 1 }, kept)).toEqual({ value: 1, log: ["swallowed"] });
    const graphHere = here((_, ctx) => swallow(() => ctx.interrupt("well?")), {
      checkpointer: new MemoryCheckpointer(),
    });
    expect(await graphHere.invoke({}, keptHere)).toMatchObject({ status: "waiting" });
  });

  test("two calls on one thread overwrite each other there", async () => {
    let begun = 0;
    const both = gate();
    const graph = there(
      async ({ value }) => {
        if (++begun === 2) both.open();
        await both.opened;
        return { log: [`${value}`] };
      },
      { checkpointer: new MemorySaver() },
    );
    await Promise.all([graph.invoke({ value: 1 }, kept), graph.invoke({ value: 2 }, kept)]);
    expect((await graph.getState(kept)).values.log).toHaveLength(1);

    const release = gate();
    const graphHere = here(
      async ({ value }) => {
        await release.opened;
        return { log: [`${value}`] };
      },
      { checkpointer: new MemoryCheckpointer() },
    );
    const first = graphHere.invoke({ value: 1 }, keptHere);
    await expect(graphHere.invoke({ value: 2 }, keptHere)).rejects.toMatchObject({
      code: "CONFLICT",
    });
    release.open();
    expect((await first).output.log).toEqual(["1"]);
  });

  test("an update of no channel and a command to no node are ignored there", async () => {
    const graph = there(() => ({ nonsense: 1 }));
    expect(await graph.invoke({ value: 1 })).toEqual({ value: 1, log: [] });
    await expect(here(() => ({ nonsense: 1 })).invoke({})).rejects.toMatchObject({
      code: "INVALID_OUTPUT",
    });
    const goes = there(() => new langgraph.Command({ goto: "nowhere" }));
    expect(await goes.invoke({ value: 1 })).toEqual({ value: 1, log: [] });
    await expect(here(() => new Command({ goto: "nowhere" })).invoke({})).rejects.toMatchObject({
      code: "INVALID_OUTPUT",
    });
  });

  test("a command to the graph around is ignored there if there is none", async () => {
    const graph = there(
      () => new langgraph.Command({ graph: langgraph.Command.PARENT, goto: "nowhere" }),
    );
    expect(await graph.invoke({ value: 1 })).toEqual({ value: 1, log: [] });
    const lost = new StateGraph(channels)
      .addNode("node", () => new Command({ graph: Command.PARENT, goto: "nowhere" }), {
        ends: [Command.PARENT],
      })
      .addEdge(START, "node")
      .compile();
    await expect(lost.invoke({})).rejects.toMatchObject({ code: "INVALID_OUTPUT" });
  });

  test("a run whose next node is gone ends there as if it were complete", async () => {
    const checkpointer = new MemorySaver();
    const build = (last: string) =>
      new langgraph.StateGraph(State)
        .addNode("first", () => ({ log: ["first"] }))
        .addNode(last, () => ({ log: [String(langgraph.interrupt("well?"))] }))
        .addEdge(langgraph.START, "first")
        .addEdge("first", last)
        .compile({ checkpointer });
    await build("last").invoke({ value: 1 }, kept);
    const resumed = build("renamed").invoke(new langgraph.Command({ resume: "yes" }), kept);
    expect(await resumed).toEqual({ value: 1, log: ["first"] });

    const store = new MemoryCheckpointer();
    const buildHere = (last: string) =>
      new StateGraph(channels)
        .addNode("first", () => ({ log: ["first"] }))
        .addNode(last, (_, ctx) => ({ log: [String(ctx.interrupt("well?"))] }))
        .addEdge(START, "first")
        .addEdge("first", last)
        .addEdge(last, END)
        .compile({ checkpointer: store });
    await buildHere("last").invoke({}, keptHere);
    await expect(
      buildHere("renamed").invoke(new Command({ resume: "yes" }), keptHere),
    ).rejects.toMatchObject({ code: "GRAPH_CHANGED" });
  });

  test("a clash is found in both, and names the nodes here only", async () => {
    const clash = new langgraph.StateGraph(State)
      .addNode("alpha", () => ({ value: 1 }))
      .addNode("beta", () => ({ value: 2 }))
      .addEdge(langgraph.START, "alpha")
      .addEdge(langgraph.START, "beta")
      .compile();
    const error = await clash.invoke({ value: 0 }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ name: "InvalidUpdateError" });
    expect((error as Error).message).not.toMatch(/alpha|beta/);
    const clashHere = new StateGraph(channels)
      .addNode("alpha", () => ({ value: 1 }))
      .addNode("beta", () => ({ value: 2 }))
      .addEdge(START, "alpha")
      .addEdge(START, "beta")
      .addEdge("alpha", END)
      .addEdge("beta", END)
      .compile();
    await expect(clashHere.invoke({})).rejects.toThrow(/alpha and beta/);
  });

  test("a node that leads nowhere, and a loop without end, compile there", () => {
    const graph = new langgraph.StateGraph(State)
      .addNode("loop", () => ({}))
      .addEdge(langgraph.START, "loop")
      .addEdge("loop", "loop");
    expect(graph.compile()).toBeDefined();
    const graphHere = new StateGraph(channels)
      .addNode("loop", () => ({}))
      .addEdge(START, "loop")
      .addEdge("loop", "loop");
    expect(() => graphHere.compile()).toThrow(/from node loop no way leads to END/);
  });

  test("a run does not wait for who reads its stream there", async () => {
    const steps = 2_500;
    let executed = 0;
    const Count = Annotation.Root({
      n: Annotation<number>({ reducer: (a, b) => a + b, default: () => 0 }),
    });
    const graph = new langgraph.StateGraph(Count)
      .addNode("node", () => ({ n: (executed++, 1) }))
      .addEdge(langgraph.START, "node")
      .addConditionalEdges("node", ({ n }) => (n < steps ? "node" : langgraph.END))
      .compile();
    const stream = await graph.stream({}, { streamMode: "updates", recursionLimit: steps + 1 });
    await stream[Symbol.asyncIterator]().next();
    await expect.poll(() => executed, { timeout: 50_000 }).toBe(steps);

    let executedHere = 0;
    const graphHere = new StateGraph({ n: sum() }, { maxSteps: steps + 1 })
      .addNode("node", async () => ({ n: (executedHere++, 1) }))
      .addEdge(START, "node")
      .addConditionalEdges("node", ({ n }) => (n < steps ? "node" : END), ["node", END])
      .compile();
    const run = graphHere.stream({}, { mode: "updates" });
    const reader = run[Symbol.asyncIterator]();
    await reader.next();
    await expect.poll(() => executedHere).toBeGreaterThan(1_000); // that far it may be ahead
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(executedHere).toBeLessThan(steps / 2);
    await reader.return?.();
    expect((await run.result).output.n).toBe(steps);
  });
});

describe("what is there and not here", () => {
  test.each([
    "entrypoint", // the functional API
    "task",
    "InMemoryStore", // memory across threads
    "Overwrite", // past a reducer
    "DeltaChannel",
    "UntrackedValue", // state that is not recorded
    "RunControl", // to be drained between two steps
    "NodeTimeoutError", // idle timeouts of nodes
    "getConfig",
  ])("%s", (name) => {
    expect(langgraph).toHaveProperty(name);
    expect(plexus).not.toHaveProperty(name);
  });

  test("a caller may direct a run: begin it at a node, and answer several interrupts at once", async () => {
    const graph = new langgraph.StateGraph(State)
      .addNode("one", () => ({ log: [`one ${String(langgraph.interrupt("first?"))}`] }))
      .addNode("two", () => ({ log: [`two ${String(langgraph.interrupt("second?"))}`] }))
      .addEdge(langgraph.START, "one")
      .addEdge(langgraph.START, "two")
      .compile({ checkpointer: new MemorySaver() });
    const asked = await graph.invoke({ value: 1 }, kept);
    const questions = (asked as Record<string, unknown>)[langgraph.INTERRUPT] as { id: string }[];
    const resume = Object.fromEntries(questions.map(({ id }, i) => [id, `${i}`]));
    const answered = await graph.invoke(new langgraph.Command({ resume }), kept);
    expect(answered.log).toHaveLength(2);
    const directed = new langgraph.Command({ goto: "two" });
    expect(await graph.invoke(directed, kept)).toMatchObject({
      __interrupt__: [{ value: "second?" }],
    });
  });

  test("a subgraph may share the channels of the graph around without being told", async () => {
    const inner = there(() => ({ log: ["inner"] }));
    const graph = new langgraph.StateGraph(State)
      .addNode("inner", inner)
      .addEdge(langgraph.START, "inner")
      .compile();
    expect((await graph.invoke({ value: 1 })).log).toEqual(["inner"]);
  });

  test("a node's failure may lead elsewhere: an error handler", async () => {
    const graph = new langgraph.StateGraph(State)
      .addNode(
        "node",
        (): Update => {
          throw new Error("no");
        },
        { errorHandler: (_, { error }) => ({ log: [`handled ${error.message}`] }) },
      )
      .addEdge(langgraph.START, "node")
      .compile();
    expect((await graph.invoke({ value: 1 })).log).toEqual(["handled no"]);
  });
});
