import { expect, test } from "vitest";
import { z } from "zod";
import { append, sum } from "./channel.ts";
import { Command, END, START } from "./command.ts";
import { StateGraph } from "./graph.ts";
import { diffStates } from "./history.ts";
import { MemoryCheckpointer } from "./memory-checkpointer.ts";

const thread = "t";
const executed: string[] = [];

function open(checkpointer = new MemoryCheckpointer()) {
  executed.length = 0;
  let clock = 1_000;
  return new StateGraph({ log: append(z.string()), cost: sum(), verdict: z.string() })
    .addNode("draft", ({ cost }) => {
      executed.push("draft");
      return { log: ["draft"], cost: cost + 1 };
    })
    .addNode("review", (_, ctx) => {
      executed.push("review");
      return { log: ["review"], verdict: ctx.interrupt<string>("good?") };
    })
    .addEdge(START, "draft")
    .addEdge("draft", "review")
    .addConditionalEdges("review", ({ verdict }) => (verdict === "no" ? "draft" : END), [
      "draft",
      END,
    ])
    .compile({ checkpointer, now: () => ++clock });
}

async function finished() {
  const graph = open();
  await graph.invoke({}, { thread });
  await graph.invoke(new Command({ resume: "no" }), { thread });
  await graph.invoke(new Command({ resume: "yes" }), { thread });
  return graph;
}

test("the history of a thread has a checkpoint for each step and each rest, newest first", async () => {
  const graph = await finished();
  const history = await graph.getStateHistory(thread);
  expect(history.map(({ status, step, next }) => [status, step, ...next])).toEqual([
    ["completed", 4],
    ["waiting", 4, "review"],
    ["running", 4, "review"],
    ["running", 3, "draft"],
    ["waiting", 2, "review"],
    ["running", 2, "review"],
  ]);
  const checkpoints = history.map(({ checkpoint }) => checkpoint);
  expect(checkpoints).toEqual(checkpoints.toSorted((a, b) => b - a));
  const times = history.map(({ at }) => at);
  expect(times).toEqual(times.toSorted((a, b) => b - a));
});

test("any checkpoint can be inspected, and two of them compared", async () => {
  const graph = await finished();
  const [end, , , rejected] = await graph.getStateHistory(thread);
  const then = await graph.getState(thread, { checkpoint: rejected!.checkpoint });
  expect(then).toEqual(rejected);
  expect(diffStates(then, end!)).toEqual([
    {
      channel: "log",
      before: ["draft", "review"],
      after: ["draft", "review", "draft", "review"],
    },
    { channel: "cost", before: 1, after: 3 },
    { channel: "verdict", before: "no", after: "yes" },
  ]);
  expect(diffStates(then, then)).toEqual([]);
});

test("a fork goes its own way from a checkpoint, and repeats nothing before it", async () => {
  const graph = await finished();
  const asked = (await graph.getStateHistory(thread)).find(
    ({ status, step }) => status === "waiting" && step === 2,
  );
  const fork = await graph.fork(thread, { checkpoint: asked!.checkpoint });
  executed.length = 0;
  const { output } = await graph.invoke(new Command({ resume: "yes" }), { thread: fork });
  expect(output).toEqual({ log: ["draft", "review"], cost: 1, verdict: "yes" });
  expect(executed).toEqual(["review"]);
  expect((await graph.getState(thread)).values["cost"]).toBe(3);
  expect((await graph.getStateHistory(fork)).map(({ status }) => status)).toEqual(["completed"]);
});

test("a fork of a step that was under way executes it anew", async () => {
  const graph = await finished();
  const running = (await graph.getStateHistory(thread)).find(
    ({ status, step }) => status === "running" && step === 3,
  );
  const to = await graph.fork(thread, { checkpoint: running!.checkpoint, to: "again" });
  executed.length = 0;
  expect((await graph.invoke(null, { thread: to })).status).toBe("waiting");
  expect(executed).toEqual(["draft", "review"]);
  await expect(graph.fork(thread, { to: "again" })).rejects.toMatchObject({ code: "CONFLICT" });
});

test("a fork takes no other one's name, and may be made twice", async () => {
  const graph = await finished();
  const [, asked] = await graph.getStateHistory(thread);
  await graph.fork(thread, { checkpoint: asked!.checkpoint, to: "again" });
  await graph.fork(thread, { checkpoint: asked!.checkpoint, to: "again" });
  const forked = await graph.getState("again");
  expect(forked.values).toEqual(asked!.values);
  await expect(graph.fork(thread, { to: "again" })).rejects.toMatchObject({ code: "CONFLICT" });
  expect(await graph.getState("again")).toEqual(forked);
});

test("a checkpoint that is not there is refused, with those that are", async () => {
  const graph = await finished();
  const history = await graph.getStateHistory(thread);
  const there = history.map(({ checkpoint }) => checkpoint);
  const message = expect.stringContaining(`There are: ${there.join(", ")}.`);
  const refusal = { code: "INVALID_INPUT", message };
  for (const checkpoint of [there[0]! + 1, 77, 0, -1, 2.5, Number.NaN]) {
    // Each is told in the failure's line.
    await expect(graph.getState(thread, { checkpoint })).rejects.toMatchObject(refusal);
    await expect(graph.fork(thread, { checkpoint, to: "f" })).rejects.toMatchObject(refusal);
  }
  await expect(graph.getState("f")).rejects.toMatchObject({ code: "NO_RUN" });
  await expect(graph.getState("x", { checkpoint: 3 })).rejects.toMatchObject({ code: "NO_RUN" });
});

test("a fork's own beginning is a checkpoint", async () => {
  const graph = await finished();
  const fork = await graph.fork(thread);
  const { checkpoint, values } = await graph.getState(fork);
  expect((await graph.getState(fork, { checkpoint })).values).toEqual(values);
  const refused = graph.getState(fork, { checkpoint: checkpoint + 1 });
  await expect(refused).rejects.toThrow(`There are: ${checkpoint}.`);
});

test("a replay tells what the run has told, and executes nothing", async () => {
  const graph = open();
  const modes = ["values", "updates", "debug"] as const;
  const live: unknown[] = [];
  for (const input of [{}, new Command({ resume: "no" }), new Command({ resume: "yes" })]) {
    for await (const item of graph.stream(input, { thread, mode: modes })) live.push(item);
  }
  executed.length = 0;
  const replayed: unknown[] = [];
  for await (const item of graph.replay(thread, { mode: modes })) replayed.push(item);
  expect(replayed).toEqual(live);
  expect(replayed.length).toBeGreaterThan(15);
  expect(executed).toEqual([]);
});

test("the state of a thread at rest can be changed from outside", async () => {
  const graph = open();
  await graph.invoke({}, { thread });
  await graph.updateState(thread, { cost: 10 });
  expect((await graph.getState(thread)).values["cost"]).toBe(11);
  await expect(graph.updateState(thread, { cost: "much" as never })).rejects.toMatchObject({
    code: "INVALID_INPUT",
  });
  const { output } = await graph.invoke(new Command({ resume: "yes" }), { thread });
  expect(output.cost).toBe(11);
});

test("changing the state of a run that sleeps does not wait for it", async () => {
  const checkpointer = new MemoryCheckpointer();
  const reopen = () =>
    new StateGraph({ cost: sum() })
      .addNode("sleep", (_, ctx) => ctx.sleep("1h"))
      .addEdge(START, "sleep")
      .addEdge("sleep", END)
      .compile({ checkpointer });
  const sleeping = reopen().invoke({}, { thread });
  await new Promise(setImmediate);
  checkpointer.revoke(thread);
  await expect(sleeping).rejects.toMatchObject({ code: "FENCED" });
  await reopen().updateState(thread, { cost: 5 });
  expect(await reopen().getState(thread)).toMatchObject({
    status: "waiting",
    values: { cost: 5 },
  });
});

test("of an unknown thread there is nothing to see", async () => {
  const graph = open();
  const none = { code: "NO_RUN" };
  await expect(graph.getState("unknown")).rejects.toMatchObject(none);
  await expect(graph.getStateHistory("unknown")).rejects.toMatchObject(none);
  await expect(graph.fork("unknown")).rejects.toMatchObject(none);
  await expect(graph.invoke(null, { thread: "unknown" })).rejects.toMatchObject(none);
});
