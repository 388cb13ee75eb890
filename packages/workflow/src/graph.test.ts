import { isMeshError } from "@plexus/core";
import { expect, expectTypeOf, test } from "vitest";
import { z } from "zod";
import { append, reduced, sum } from "./channel.ts";
import { Command, END, START } from "./command.ts";
import { StateGraph } from "./graph.ts";
import { MemoryCheckpointer } from "./memory-checkpointer.ts";

const text = { text: z.string() };
const nothing = (): object => ({});

function refusal(build: () => unknown): string {
  try {
    build();
  } catch (error) {
    if (isMeshError(error, "INVALID_CONTRACT")) return error.message;
    throw error;
  }
  throw new Error("it was accepted");
}

test("a node that no way leads to is named when the graph is built", () => {
  const graph = new StateGraph(text)
    .addNode("a", nothing)
    .addNode("lost", nothing)
    .addEdge(START, "a")
    .addEdge("a", END)
    .addEdge("lost", END);
  expect(refusal(() => graph.compile())).toBe(
    "Graph graph: node lost is unreachable: no way leads to it from START.",
  );
});

test("a node that leads nowhere is named when the graph is built", () => {
  const graph = new StateGraph(text).addNode("a", nothing).addEdge(START, "a");
  expect(refusal(() => graph.compile())).toContain("node a leads nowhere");
});

test("a loop without a way out is named when the graph is built", () => {
  const graph = new StateGraph(text)
    .addNode("a", nothing)
    .addNode("b", nothing)
    .addEdge(START, "a")
    .addEdge("a", "b")
    .addEdge("b", "a");
  expect(refusal(() => graph.compile())).toContain("from node a no way leads to END");
});

test("edges from and to what is no node are named when the graph is built", () => {
  const to = new StateGraph(text).addNode("a", nothing).addEdge(START, "a");
  expect(refusal(() => to.addEdge("a", "typo" as "a").compile())).toContain(
    "a leads to typo, which is no node",
  );
  const from = new StateGraph(text).addNode("a", nothing).addEdge(START, "a").addEdge("a", END);
  expect(refusal(() => from.addEdge("typo" as "a", END).compile())).toContain(
    "an edge begins at typo, which is no node",
  );
  const handoff = new StateGraph(text)
    .addNode("a", nothing, { ends: ["typo"] })
    .addEdge(START, "a")
    .addEdge("a", END);
  expect(refusal(() => handoff.compile())).toContain("a leads to typo, which is no node");
});

test("a graph that begins nowhere is refused", () => {
  expect(refusal(() => new StateGraph(text).addNode("a", nothing).compile())).toContain(
    "no edge begins at START",
  );
});

test("two nodes that surely write an overwrite channel in one step are named, with the channel, however far they are from the fork", () => {
  const graph = new StateGraph({ text: z.string(), count: sum() })
    .addNode("left", () => ({ count: 1 }), { writes: ["count"] })
    .addNode("right", () => ({ count: 1 }), { writes: ["count"] })
    .addNode("left2", () => ({ text: "l" }), { writes: ["text", "count"] })
    .addNode("right2", () => ({ text: "r" }), { writes: ["text"] })
    .addEdge(START, "left")
    .addEdge(START, "right")
    .addEdge("left", "left2")
    .addEdge("right", "right2")
    .addEdge("left2", END)
    .addEdge("right2", END);
  expect(refusal(() => graph.compile())).toContain(
    "nodes left2 and right2 write channel text in the same step: give it a reducer",
  );
});

test("nodes of different steps may write the same overwrite channel", async () => {
  const graph = new StateGraph(text)
    .addNode("a", () => ({ text: "a" }), { writes: ["text"] })
    .addNode("b", () => ({ text: "b" }), { writes: ["text"] })
    .addEdge(START, "a")
    .addEdge("a", "b")
    .addEdge("b", END)
    .compile();
  expect((await graph.invoke({})).output).toEqual({ text: "b" });
});

test.each([
  ["a name that is none", () => new StateGraph(text).addNode("a b", nothing)],
  ["a name that means the end", () => new StateGraph(text).addNode(END, nothing)],
  [
    "a second node of a name",
    () => new StateGraph(text).addNode("a", nothing).addNode("a", nothing),
  ],
  ["a channel that is none", () => new StateGraph({ text: 5 as never }).compile()],
  ["a reducer that is none", () => reduced(z.string(), { initial: () => "", reducer: 5 as never })],
  ["a join of one", () => new StateGraph(text).addNode("a", nothing).addEdge(["a"], END)],
  ["a negative limit", () => new StateGraph(text).addNode("a", nothing, { concurrency: 0 })],
  [
    "a cache beside a compensation",
    () => new StateGraph(text).addNode("a", nothing, { cache: {}, compensate: nothing }),
  ],
  ["an unreadable time", () => new StateGraph(text).addNode("a", nothing, { timeout: -1 })],
  [
    "a private channel that is public",
    () => new StateGraph(text).addNode("a", nothing, { private: text }),
  ],
  [
    "a write of no channel",
    () =>
      new StateGraph(text)
        .addNode("a", nothing, { writes: ["typo" as "text"] })
        .addEdge(START, "a")
        .addEdge("a", END)
        .compile(),
  ],
])("%s is refused", (_, build) => {
  expect(refusal(build)).toMatch(/./);
});

const hash = (
  build: (graph: StateGraph<typeof text>) => { compile(): { plan: { hash: string } } },
): string => build(new StateGraph(text)).compile().plan.hash;

test("the hash changes with channels, nodes, edges and limits, and not with functions or order", () => {
  const base = hash((graph) =>
    graph
      .addNode("a", nothing)
      .addNode("b", nothing)
      .addEdge(START, "a")
      .addEdge("a", "b")
      .addEdge("b", END),
  );
  const reordered = hash((graph) =>
    graph
      .addNode("b", () => ({ text: "other" }))
      .addNode("a", nothing)
      .addEdge("a", "b")
      .addEdge(START, "a")
      .addEdge("b", END),
  );
  const limited = hash((graph) =>
    graph
      .addNode("a", nothing, { maxVisits: 2 })
      .addNode("b", nothing)
      .addEdge(START, "a")
      .addEdge("a", "b")
      .addEdge("b", END),
  );
  expect(reordered).toBe(base);
  expect(limited).not.toBe(base);
});

test("a node, and an event that it waits for, may be called as what every object has", async () => {
  const graph = new StateGraph({ notes: append(z.string()) })
    .addNode("constructor", (_, ctx) => ({
      notes: [`${ctx.visits} ${ctx.waitFor<string>("valueOf")}`],
    }))
    .addEdge(START, "constructor")
    .addEdge("constructor", END)
    .compile({ checkpointer: new MemoryCheckpointer() });
  await graph.invoke({}, { thread: "t" });
  const { output } = await graph.signal("t", "valueOf", "told");
  expect(output.notes).toEqual(["1 told"]);
});

test("nodes are given typed states, and may return updates of known channels only", () => {
  const graph = new StateGraph({ text: z.string(), notes: append(z.number()), count: sum() })
    .addNode("a", (state) => {
      expectTypeOf(state.text).toEqualTypeOf<string>();
      expectTypeOf(state.notes).toEqualTypeOf<readonly number[]>();
      expectTypeOf(state.count).toEqualTypeOf<number>();
      return { notes: [1] };
    })
    .addNode("b", ({ item, mine }) => ({ text: item, mine: mine + 1 }), {
      input: z.object({ item: z.string() }),
      private: { mine: sum() },
    })
    .addNode("c", () => new Command({ goto: "b", update: { count: 1 } }), { ends: ["b"] });
  // @ts-expect-error notes is a list of numbers
  graph.addNode("d", () => ({ notes: ["one"] }));
  // @ts-expect-error there is no node e
  expect(refusal(() => graph.addEdge("a", "e").compile())).toContain("a leads to e");
});
