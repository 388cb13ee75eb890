import { describe, expect, test } from "vitest";
import { z } from "zod";
import { append, reduced, sum, type Channels } from "./channel.ts";
import { Command, END, START } from "./command.ts";
import { StateGraph } from "./graph.ts";
import { MemoryCheckpointer } from "./memory-checkpointer.ts";

/* What a thread is in the middle of when its graph changes. */

const thread = "t";
const yes = new Command({ resume: "yes" });
const log = { log: append(z.string()) };

const withInner = (
  checkpointer: MemoryCheckpointer,
  version: string,
  channels: Channels,
  told: (state: Record<string, unknown>) => object,
) => {
  const inner = new StateGraph(channels)
    .addNode("ask", (_, ctx) => ({ answer: ctx.interrupt("?") }))
    .addNode("tell", (state) => told(state))
    .addEdge(START, "ask")
    .addEdge("ask", "tell")
    .addEdge("tell", END)
    .compile();
  return new StateGraph({ all: z.unknown() }, { version })
    .addSubgraph("inner", inner, { map: () => ({}), merge: (all) => ({ all }) })
    .addEdge(START, "inner")
    .addEdge("inner", END)
    .compile({ checkpointer });
};

const routed = (checkpointer: MemoryCheckpointer, version: string, last: string, notes: string) => {
  const note = (text: string): object => ({ [notes]: [text] });
  const channels: Channels = { answer: z.string(), [notes]: append(z.string()) };
  return new StateGraph(channels, { version })
    .addNode("route", () => new Command<object>({ goto: last, update: note("routed") }), {
      ends: [last],
    })
    .addNode("ask", (_, ctx): object => ({ answer: ctx.interrupt("?") }))
    .addNode(last, () => note("last"))
    .addEdge(START, "route")
    .addEdge(START, "ask")
    .addEdge("ask", END)
    .addEdge(last, END)
    .compile({ checkpointer });
};

const tellOnce = () => ({ log: ["told"], count: 1 });
const tellTries = ({ tries }: Record<string, unknown>) => ({ tries: Number(tries) + 1 });

describe("a subgraph that waits", () => {
  test("goes on with the initial values of channels that it has been given since", async () => {
    const store = new MemoryCheckpointer();
    await withInner(store, "1.0.0", { answer: z.string() }, () => ({})).invoke({}, { thread });
    const channels = { answer: z.string(), ...log, count: sum() };
    const { output } = await withInner(store, "1.1.0", channels, tellOnce).invoke(yes, { thread });
    expect(output).toEqual({ all: { answer: "yes", log: ["told"], count: 1 } });
  });

  test("goes on with the defaults that its channels had", async () => {
    const store = new MemoryCheckpointer();
    const channels = { answer: z.string(), tries: z.number().default(3) };
    await withInner(store, "1.0.0", channels, tellTries).invoke({}, { thread });
    const { output } = await withInner(store, "1.0.1", channels, tellTries).invoke(yes, { thread });
    expect(output).toEqual({ all: { answer: "yes", tries: 4 } });
  });
});

describe("a step of which a part has ended", () => {
  test.each([
    ["end", "notes", "node last is due and gone"],
    ["last", "remarks", "channel notes is gone, and route has written it"],
  ])(
    "is not gone on with when it leads to, or has written, what is gone (%s, %s)",
    async (last, notes, problem) => {
      const store = new MemoryCheckpointer();
      await routed(store, "1.0.0", "last", "notes").invoke({}, { thread });
      await expect(
        routed(store, "2.0.0", last, notes).invoke(yes, { thread }),
      ).rejects.toMatchObject({ code: "GRAPH_CHANGED", message: expect.stringContaining(problem) });
      // And the old graph goes on with it.
      const { output } = await routed(store, "1.0.0", "last", "notes").invoke(yes, { thread });
      expect(output).toEqual({ answer: "yes", notes: ["routed", "last"] });
    },
  );
});

test("a failed run whose node is gone says so when it is tried again, and takes a new input", async () => {
  const checkpointer = new MemoryCheckpointer();
  const build = (version: string, node: string, run: () => object) =>
    new StateGraph(log, { version })
      .addNode(node, run)
      .addEdge(START, node)
      .addEdge(node, END)
      .compile({ checkpointer, migrations: [{ from: "0.9.0", nodes: { broken: "fixed" } }] });
  const broken = build("1.0.0", "broken", () => {
    throw new Error("broken");
  });
  await expect(broken.invoke({}, { thread })).rejects.toThrow("broken");
  const fixed = build("1.0.1", "fixed", () => ({ log: ["fixed"] }));
  await expect(fixed.invoke(null, { thread })).rejects.toMatchObject({
    code: "GRAPH_CHANGED",
    message: expect.stringContaining("node broken is due and gone"),
  });
  expect(await fixed.getState(thread)).toMatchObject({ status: "failed" });
  expect((await fixed.invoke({}, { thread })).output.log).toEqual(["fixed"]);
});

test("a migration renames those who have arrived at a join", async () => {
  const checkpointer = new MemoryCheckpointer();
  const build = (version: string, first: string, both: string) =>
    new StateGraph(log, { version })
      .addNode(first, () => ({ log: ["first"] }))
      .addNode("slow", () => ({ log: ["slow"] }))
      .addNode("ask", (_, ctx) => ({ log: [ctx.interrupt<string>("?")] }))
      .addNode(both, () => ({ log: ["both"] }))
      .addEdge(START, first)
      .addEdge(START, "slow")
      .addEdge("slow", "ask")
      .addEdge([first, "ask"], both)
      .addEdge(both, END)
      .compile({
        checkpointer,
        migrations: [{ from: "1.0.0", nodes: { quick: "prompt", both: "joined" } }],
      });
  await build("1.0.0", "quick", "both").invoke({}, { thread });
  const { output } = await build("2.0.0", "prompt", "joined").invoke(yes, { thread });
  expect(output.log).toEqual(["first", "slow", "yes", "both"]);
});

test("a migration renames what is being undone", async () => {
  const checkpointer = new MemoryCheckpointer();
  const undone: string[] = [];
  const build = (version: string, book: string) =>
    new StateGraph(log, { version })
      .addNode(book, () => ({}), {
        compensate: (_, ctx) => void undone.push(ctx.interrupt<string>("Undo it?")),
      })
      .addNode("fail", () => {
        throw new Error("no");
      })
      .addEdge(START, book)
      .addEdge(book, "fail")
      .addEdge("fail", END)
      .compile({ checkpointer, migrations: [{ from: "1.0.0", nodes: { book: "reserve" } }] });
  await build("1.0.0", "book").invoke({}, { thread });
  await expect(build("2.0.0", "reserve").invoke(yes, { thread })).rejects.toThrow("Node fail");
  expect(undone).toEqual(["yes"]);
});

test("a value that its unchanged schema has made is taken by another version", async () => {
  const checkpointer = new MemoryCheckpointer();
  const build = (version: string) =>
    new StateGraph({ size: z.string().transform((text) => text.length), ...log }, { version })
      .addNode("ask", (_, ctx) => ({ log: [ctx.interrupt<string>("?")] }))
      .addEdge(START, "ask")
      .addEdge("ask", END)
      .compile({ checkpointer });
  await build("1.0.0").invoke({ size: "four" }, { thread });
  const { output } = await build("1.0.1").invoke(yes, { thread });
  expect(output).toEqual({ size: 4, log: ["yes"] });
});

test("a run that has ended is not undone by a graph that lacks a reducer to read it with", async () => {
  const checkpointer = new MemoryCheckpointer();
  const undone: string[] = [];
  const best = reduced(z.number(), { initial: () => 0, reducer: Math.max });
  const build = (version: string, channels: Channels) =>
    new StateGraph(channels, { version })
      .addNode("rate", (): object => (version === "1.0.0" ? { best: 5 } : {}), {
        compensate: () => void undone.push("rate"),
      })
      .addEdge(START, "rate")
      .addEdge("rate", END)
      .compile({ checkpointer });
  await build("1.0.0", { best }).invoke({}, { thread });
  const without = build("2.0.0", log);
  await expect(without.getState(thread)).rejects.toMatchObject({ code: "GRAPH_CHANGED" });
  await expect(without.invoke({}, { thread, busy: "enqueue" })).rejects.toMatchObject({
    code: "GRAPH_CHANGED",
  });
  expect(undone).toEqual([]);
  expect(await build("1.0.0", { best }).getState(thread)).toMatchObject({ status: "completed" });
});
