import { expect, test } from "vitest";
import { z } from "zod";
import { append } from "./channel.ts";
import { Command, END, START, Send } from "./command.ts";
import type { CompileOptions } from "./graph-options.ts";
import { StateGraph } from "./graph.ts";
import { MemoryCheckpointer } from "./memory-checkpointer.ts";

/* Runs pause where they are told to. */

const channels = { log: append(z.string()), plan: z.string() };

/** plan → act → check, and what each of them has seen. */
function graphWith(options: CompileOptions = { checkpointer: new MemoryCheckpointer() }) {
  return new StateGraph(channels)
    .addNode("plan", () => ({ log: ["planned"], plan: "sell" }))
    .addNode("act", ({ plan }) => ({ log: [`acted: ${plan}`] }))
    .addNode("check", () => ({ log: ["checked"] }))
    .addEdge(START, "plan")
    .addEdge("plan", "act")
    .addEdge("act", "check")
    .addEdge("check", END)
    .compile(options);
}

const thread = "t";
const all = ["planned", "acted: sell", "checked"];

test("a run pauses before a node, is looked at and changed there, and goes on", async () => {
  const graph = graphWith({ checkpointer: new MemoryCheckpointer(), interruptBefore: ["act"] });
  const paused = await graph.invoke({}, { thread });
  expect(paused).toMatchObject({
    status: "waiting",
    output: { log: ["planned"], plan: "sell" },
    interrupts: [],
    paused: ["act"],
  });
  expect(await graph.getState(thread)).toMatchObject({ status: "waiting", next: ["act"] });
  await graph.updateState(thread, { plan: "hold" });
  const done = await graph.invoke(null, { thread });
  expect(done).toMatchObject({
    status: "completed",
    output: { log: ["planned", "acted: hold", "checked"] },
  });
  expect(done).not.toHaveProperty("paused");
});

test("a run pauses behind a node, but not when it is over", async () => {
  const graph = graphWith();
  const options = { thread, interruptAfter: ["plan", "check"] };
  expect(await graph.invoke({}, options)).toMatchObject({ paused: ["act"] });
  expect(await graph.invoke(null, { thread })).toMatchObject({ status: "completed" });
});

test("every step may be one to pause before", async () => {
  const graph = graphWith({ checkpointer: new MemoryCheckpointer(), interruptBefore: "*" });
  let result = await graph.invoke({}, { thread });
  const seen: unknown[] = [];
  while (result.status === "waiting") {
    seen.push(result.paused);
    result = await graph.invoke(null, { thread });
  }
  expect(seen).toEqual([["plan"], ["act"], ["check"]]);
  expect(result.output.log).toEqual(all);
});

test("a pause outlives its process, and whoever goes on need not know of it", async () => {
  const checkpointer = new MemoryCheckpointer();
  const first = graphWith({ checkpointer, interruptBefore: ["act"], interruptAfter: ["act"] });
  await first.invoke({}, { thread });
  const second = graphWith({ checkpointer });
  expect(await second.invoke(null, { thread })).toMatchObject({ paused: ["check"] });
  expect((await second.invoke(null, { thread })).output.log).toEqual(all);
});

test("a call's breakpoints are in place of the graph's, from then on", async () => {
  const graph = graphWith({ checkpointer: new MemoryCheckpointer(), interruptBefore: ["act"] });
  expect(await graph.invoke({}, { thread, interruptBefore: ["plan"] })).toMatchObject({
    paused: ["plan"],
  });
  expect(await graph.invoke(null, { thread, interruptBefore: ["check"] })).toMatchObject({
    paused: ["check"],
  });
  expect(await graph.invoke(null, { thread })).toMatchObject({ status: "completed" });
  expect(await graph.invoke({}, { thread, interruptBefore: [] })).toMatchObject({
    status: "completed",
  });
});

test("whoever resumes a run that has just been resumed executes nothing twice", async () => {
  let acted = 0;
  const graph = new StateGraph({ log: append(z.string()) })
    .addNode("act", async () => {
      await new Promise(setImmediate);
      return { log: [`acted ${++acted}`] };
    })
    .addEdge(START, "act")
    .addEdge("act", END)
    .compile({ checkpointer: new MemoryCheckpointer(), interruptBefore: ["act"] });
  await graph.invoke({}, { thread });
  const both = [graph.invoke(null, { thread }), graph.invoke(null, { thread })];
  for (const { output } of await Promise.all(both)) expect(output.log).toEqual(["acted 1"]);
});

test("a subgraph's nodes are reached by path, while what is beside it goes on", async () => {
  const inner = new StateGraph({ log: append(z.string()) })
    .addNode("one", () => ({ log: ["one"] }))
    .addNode("two", () => ({ log: ["two"] }))
    .addEdge(START, "one")
    .addEdge("one", "two")
    .addEdge("two", END)
    .compile();
  const graph = new StateGraph({ log: append(z.string()) })
    .addSubgraph("inner", inner, { map: () => ({}), merge: ({ log }) => ({ log }) })
    .addNode("beside", (_, ctx) => ({ log: [`said ${String(ctx.interrupt("well?"))}`] }))
    .addEdge(START, "inner")
    .addEdge(START, "beside")
    .addEdge("inner", END)
    .addEdge("beside", END)
    .compile({ checkpointer: new MemoryCheckpointer(), interruptBefore: ["inner/two"] });
  const paused = await graph.invoke({}, { thread });
  expect(paused).toMatchObject({ paused: ["inner/two"], interrupts: [{ value: "well?" }] });
  const answered = await graph.invoke(new Command({ resume: "yes" }), { thread });
  expect(answered).toMatchObject({ status: "waiting", paused: ["inner/two"], interrupts: [] });
  expect((await graph.invoke(null, { thread })).output.log).toEqual(["one", "two", "said yes"]);
});

test("what was sent waits together, each with its own input", async () => {
  const graph = new StateGraph({ log: append(z.string()) })
    .addNode("each", (item) => ({ log: [`item ${item}`] }), { input: z.number(), concurrency: 1 })
    .addConditionalEdges(START, () => [new Send("each", 1), new Send("each", 2)], ["each"])
    .addEdge("each", END)
    .compile({ checkpointer: new MemoryCheckpointer(), interruptBefore: ["each"] });
  expect(await graph.invoke({}, { thread })).toMatchObject({ paused: ["each", "each"] });
  expect((await graph.invoke(null, { thread })).output.log).toEqual(["item 1", "item 2"]);
});

test("a run at a breakpoint keeps events for its nodes, refuses other inputs, and can be canceled", async () => {
  const undone: string[] = [];
  const graph = new StateGraph({ log: append(z.string()) })
    .addNode("book", () => ({ log: ["booked"] }), { compensate: () => undone.push("book") })
    .addNode("wait", (_, ctx) => ({ log: [`price ${String(ctx.waitFor("price"))}`] }))
    .addEdge(START, "book")
    .addEdge("book", "wait")
    .addEdge("wait", END)
    .compile({ checkpointer: new MemoryCheckpointer(), interruptBefore: ["wait"] });
  await graph.invoke({}, { thread });
  expect(await graph.signal(thread, "price", 7)).toMatchObject({ paused: ["wait"] });
  await expect(graph.invoke({}, { thread })).rejects.toMatchObject({ code: "CONFLICT" });
  expect((await graph.invoke(null, { thread })).output.log).toEqual(["booked", "price 7"]);

  await graph.invoke({}, { thread: "other" });
  expect(await graph.cancel("other")).toBe(true);
  expect(undone).toEqual(["book"]);
  await expect(graph.invoke(null, { thread: "other" })).rejects.toMatchObject({ code: "NO_RUN" });
});

test("a subgraph that is paused when the run fails is paused again when that is retried", async () => {
  let fails = true;
  const inner = new StateGraph({ log: append(z.string()) })
    .addNode("one", () => ({ log: ["one"] }))
    .addEdge(START, "one")
    .addEdge("one", END)
    .compile();
  const graph = new StateGraph({ log: append(z.string()) })
    .addSubgraph("inner", inner, { map: () => ({}), merge: ({ log }) => ({ log }) })
    .addNode("beside", async () => {
      await new Promise(setImmediate);
      if (fails) throw new Error("not yet");
      return { log: ["beside"] };
    })
    .addEdge(START, "inner")
    .addEdge(START, "beside")
    .addEdge("inner", END)
    .addEdge("beside", END)
    .compile({ checkpointer: new MemoryCheckpointer(), interruptBefore: ["inner/one"] });
  await expect(graph.invoke({}, { thread })).rejects.toThrow("not yet");
  fails = false;
  expect(await graph.invoke(null, { thread })).toMatchObject({ paused: ["inner/one"] });
  expect((await graph.invoke(null, { thread })).output.log).toEqual(["one", "beside"]);
});

test("a breakpoint is a checkpoint like others: a fork goes on from there, with the breakpoints to come", async () => {
  const graph = graphWith();
  await graph.invoke({}, { thread, interruptBefore: ["act", "check"] });
  const [paused] = await graph.getStateHistory(thread);
  await graph.invoke(null, { thread });
  await graph.invoke(null, { thread });
  const fork = await graph.fork(thread, { checkpoint: paused!.checkpoint });
  expect(await graph.invoke(null, { thread: fork })).toMatchObject({ paused: ["check"] });
  expect((await graph.invoke(null, { thread: fork })).output.log).toEqual(all);
  expect((await graph.getState(thread)).values["log"]).toEqual(all);
});

/** A version of a graph, whose second node has that name. */
function version(number: string, act: string) {
  return new StateGraph({ log: append(z.string()) }, { version: number })
    .addNode("plan", () => ({ log: ["plan"] }))
    .addNode(act, () => ({ log: [act] }))
    .addEdge(START, "plan")
    .addEdge("plan", act)
    .addEdge(act, END);
}

test("breakpoints follow their nodes to new names", async () => {
  const checkpointer = new MemoryCheckpointer();
  const options = { thread, interruptBefore: ["plan", "act"] };
  await version("1.0.0", "act").compile({ checkpointer }).invoke({}, options);
  const migrations = [{ from: "1.0.0", nodes: { act: "perform" } }];
  const graph = version("2.0.0", "perform").compile({ checkpointer, migrations });
  expect(await graph.invoke(null, { thread })).toMatchObject({ paused: ["perform"] });
  expect((await graph.invoke(null, { thread })).output.log).toEqual(["plan", "perform"]);
});

test("a breakpoint at no node is refused, when the graph is built and when it is called", async () => {
  expect(() => graphWith({ interruptBefore: ["act", "nowhere"] })).toThrow(
    expect.objectContaining({
      code: "INVALID_CONTRACT",
      message: "Graph graph: a breakpoint is at nowhere, which is no node.",
    }),
  );
  const graph = graphWith();
  const options = { thread, interruptAfter: ["plan/nowhere"] };
  await expect(graph.invoke({}, options)).rejects.toMatchObject({ code: "INVALID_INPUT" });
  await expect(graph.getState(thread)).rejects.toMatchObject({ code: "NO_RUN" });
});

test("a run that nobody keeps cannot pause", async () => {
  await expect(graphWith({ interruptBefore: ["act"] }).invoke({})).rejects.toMatchObject({
    code: "INVALID_CONTRACT",
  });
});
