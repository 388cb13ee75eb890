import { describe, expect, test } from "vitest";
import { z } from "zod";
import { append, reduced, sum } from "./channel.ts";
import { MAX_PART_BYTES } from "@plexus/core";
import { Command, END, START, Send } from "./command.ts";
import { StateGraph } from "./graph.ts";
import { MemoryCheckpointer } from "./memory-checkpointer.ts";
import { decodeEvents } from "./record.ts";
import type { DurabilityMode } from "./run-log.ts";

const thread = "t";
const channels = { log: append(z.string()) };

async function eventsOf(store: MemoryCheckpointer) {
  const { records } = await store.read(thread, { whole: true });
  return [...decodeEvents(records)].map(({ event }) => event);
}

const appends = async (mode: DurabilityMode): Promise<string[]> => {
  const store = new MemoryCheckpointer();
  const order: string[] = [];
  const checkpointer = {
    read: store.read.bind(store),
    list: store.list.bind(store),
    async own(name: string) {
      const owned = await store.own(name);
      const write = owned.append.bind(owned);
      owned.append = async (records) => {
        await new Promise(setImmediate);
        await write(records);
        order.push("stored");
      };
      return owned;
    },
  };
  const graph = new StateGraph(channels)
    .addNode("a", () => void order.push("a"))
    .addNode("b", () => void order.push("b"))
    .addEdge(START, "a")
    .addEdge("a", "b")
    .addEdge("b", END)
    .compile({ checkpointer });
  await graph.invoke({}, { thread, durability: mode });
  return order;
};

describe("ownership", () => {
  test("a process that has lost its thread stops, and what it does afterwards counts for nothing", async () => {
    const store = new MemoryCheckpointer();
    const release = Promise.withResolvers<void>();
    const build = (name: string, until: Promise<void>) =>
      new StateGraph(channels)
        .addNode("work", async () => {
          await until;
          return { log: [name] };
        })
        .addEdge(START, "work")
        .addEdge("work", END)
        .compile({ checkpointer: store });
    const first = build("first", release.promise).invoke({}, { thread, durability: "sync" });
    await expect(build("", Promise.resolve()).invoke({}, { thread })).rejects.toMatchObject({
      code: "CONFLICT",
    });
    store.revoke(thread);
    await expect(first).rejects.toMatchObject({ code: "FENCED" });
    const second = await build("second", Promise.resolve()).invoke(null, { thread });
    release.resolve();
    await new Promise(setImmediate);
    expect(second.output.log).toEqual(["second"]);
    expect((await eventsOf(store)).filter(({ type }) => type === "done")).toHaveLength(1);
  });
});

describe("what is recorded", () => {
  test("sync: is stored before anything follows from it", async () => {
    expect(await appends("sync")).toEqual(["stored", "a", "stored", "b", "stored"]);
  });

  test("async: is stored while the run goes on, and all of it before the run's result is told", async () => {
    const order = await appends("async");
    expect(order.slice(0, 2)).toEqual(["a", "b"]);
    expect(order.at(-1)).toBe("stored");
  });

  test("exit: is stored once, at the end", async () => {
    expect(await appends("exit")).toEqual(["a", "b", "stored"]);
  });

  test("is as much as has changed, however large the state is", async () => {
    const size = async (large: string) => {
      const store = new MemoryCheckpointer();
      const graph = new StateGraph({ large: z.string(), log: append(z.string()), n: sum() })
        .addNode("step", ({ n }) => ({ log: [`entry ${n}`], n: 1 }))
        .addEdge(START, "step")
        .addConditionalEdges("step", ({ n }) => (n < 100 ? "step" : END), ["step", END])
        .compile({ checkpointer: store });
      await graph.invoke({ large }, { thread });
      return { ...store.size(thread), graph };
    };
    const small = await size("");
    const big = await size("x".repeat(4_000_000));
    expect(big.records - small.records).toBeLessThan(4_000_100);
    expect(big.snapshots).toBeLessThan(4_100_000); // one, when the records had come to as much
    expect(small.records / 100).toBeLessThan(120);
    const { values } = await big.graph.getState(thread);
    expect(values).toMatchObject({ n: 100, large: expect.stringMatching(/^x{4000000}$/) });
  });

  test("comes in parts that every broker takes", async () => {
    const store = new MemoryCheckpointer();
    const graph = new StateGraph({ text: z.string() })
      .addNode("a", ({ text }) => ({ text: text + text }))
      .addEdge(START, "a")
      .addEdge("a", END)
      .compile({ checkpointer: store });
    await graph.invoke({ text: "é".repeat(1_000_000) }, { thread });
    const { records, snapshot } = await store.read(thread);
    const parts = [...records.map(({ bytes }) => bytes), ...(snapshot?.parts ?? [])];
    expect(Math.max(...parts.map(({ length }) => length))).toBeLessThanOrEqual(MAX_PART_BYTES);
    expect((await graph.getState(thread)).values["text"]).toBe("é".repeat(2_000_000));
  });

  test("comes in smaller parts if the checkpointer takes no larger ones", async () => {
    class Small extends MemoryCheckpointer {
      readonly maxPartBytes = 10_000;
    }
    const store = new Small();
    const graph = new StateGraph({ text: z.string() })
      .addNode("a", ({ text }) => ({ text: text + text }))
      .addEdge(START, "a")
      .addEdge("a", END)
      .compile({ checkpointer: store });
    await graph.invoke({ text: "x".repeat(100_000) }, { thread });
    await graph.fork(thread, { to: "fork" });
    const all = await Promise.all([
      store.read(thread, { whole: true }),
      store.read(thread),
      store.read("fork"),
    ]);
    const parts = all.flatMap(({ records, snapshot }) => [
      ...records.map(({ bytes }) => bytes),
      ...(snapshot?.parts ?? []),
    ]);
    expect(all.filter(({ snapshot }) => snapshot !== undefined)).toHaveLength(2);
    expect(Math.max(...parts.map(({ length }) => length))).toBe(10_000);
    expect((await graph.getState("fork")).values["text"]).toBe("x".repeat(200_000));
  });

  test("goes without snapshots if none can be made, and tries less and less often", async () => {
    const store = new MemoryCheckpointer();
    let tries = 0;
    const unencodable = {
      get made() {
        tries++;
        return () => 0;
      },
    };
    const graph = new StateGraph({
      bad: reduced(z.number(), { initial: (): unknown => 0, reducer: () => unencodable }),
      log: append(z.string()),
    })
      .addNode("step", () => ({ bad: 1, log: ["x".repeat(10_000)] }))
      .addEdge(START, "step")
      .addConditionalEdges("step", ({ log }) => (log.length < 400 ? "step" : END), ["step", END])
      .compile({ checkpointer: store });
    const { status } = await graph.invoke({}, { thread });
    expect(status).toBe("completed");
    const { snapshot, records } = await store.read(thread);
    expect(snapshot).toBeUndefined();
    expect(records.length).toBeGreaterThan(400);
    expect(tries).toBeGreaterThan(1);
    expect(tries).toBeLessThan(30); // an encoder looks at it more than once
  });

  test("is read from the last snapshot, with the same result as from the first record", async () => {
    const store = new MemoryCheckpointer();
    const graph = new StateGraph({ log: append(z.string()) })
      .addNode("step", (_, { visits }) => ({ log: [`${visits} ${"x".repeat(1_000)}`] }))
      .addNode("ask", (_, ctx) => ({ log: [ctx.interrupt<string>("?")] }))
      .addEdge(START, "step")
      .addConditionalEdges("step", (_, { visits }) => (visits < 400 ? "step" : "ask"), [
        "step",
        "ask",
      ])
      .addEdge("ask", END)
      .compile({ checkpointer: store });
    await graph.invoke({}, { thread });
    const { snapshot, records } = await store.read(thread);
    expect(snapshot?.position).toBeGreaterThan(100);
    expect(records.length).toBeLessThan(300);
    const { output } = await graph.invoke(new Command({ resume: "end" }), { thread });
    expect(output.log).toHaveLength(401);
    const [newest] = await graph.getStateHistory(thread);
    expect(newest?.values).toEqual((await graph.getState(thread)).values);
  });

  test("of many short runs on a thread comes to a snapshot, too", async () => {
    const store = new MemoryCheckpointer();
    const graph = new StateGraph({ text: z.string() })
      .addNode("a", () => ({ text: "x".repeat(10_000) }))
      .addEdge(START, "a")
      .addEdge("a", END)
      .compile({ checkpointer: store });
    for (let run = 0; run < 40; run++) {
      await graph.invoke({}, { thread });
    }
    const { snapshot, records } = await store.read(thread);
    expect(snapshot).toBeDefined();
    expect(records.length).toBeLessThan(40);
  });

  test("fails the node that has made what cannot be stored, and names the place", async () => {
    const graph = new StateGraph({ bad: z.unknown() })
      .addNode("a", () => ({ bad: { deep: () => 1 } }))
      .addEdge(START, "a")
      .addEdge("a", END)
      .compile({ checkpointer: new MemoryCheckpointer() });
    await expect(graph.invoke({}, { thread })).rejects.toMatchObject({ code: "UNENCODABLE" });
    await expect(graph.invoke({ bad: () => 1 }, { thread })).rejects.toMatchObject({
      code: "UNENCODABLE",
    });
  });
});

describe("a changed graph", () => {
  const asks = { log: append(z.string()), answer: z.string() };
  const v1 = (store: MemoryCheckpointer) =>
    new StateGraph(asks, { name: "desk", version: "1.0.0" })
      .addNode("before", () => ({ log: ["before"] }))
      .addNode("ask", (_, ctx) => ({ answer: ctx.interrupt<string>("?") }))
      .addEdge(START, "before")
      .addEdge("before", "ask")
      .addEdge("ask", END)
      .compile({ checkpointer: store });

  test("goes on with a run if all that the run needs is still there", async () => {
    const store = new MemoryCheckpointer();
    await v1(store).invoke({}, { thread });
    const v2 = new StateGraph({ ...asks, extra: sum() }, { name: "desk", version: "1.1.0" })
      .addNode("ask", (_, ctx) => ({ answer: ctx.interrupt<string>("?") }))
      .addNode("after", () => ({ log: ["after"], extra: 1 }))
      .addEdge(START, "ask")
      .addEdge("ask", "after")
      .addEdge("after", END)
      .compile({ checkpointer: store });
    const { output } = await v2.invoke(new Command({ resume: "yes" }), { thread });
    expect(output).toEqual({ log: ["before", "after"], answer: "yes", extra: 1 });
    expect((await eventsOf(store)).filter(({ type }) => type === "graph")).toHaveLength(2);
    // What was recorded under the old graph is still read under it.
    const history = await v2.getStateHistory(thread);
    expect(history.at(-1)).toMatchObject({ next: ["ask"], values: { log: ["before"] } });
  });

  test("refuses a run that needs what is gone, and says what that is", async () => {
    const store = new MemoryCheckpointer();
    await v1(store).invoke({}, { thread });
    const v2 = new StateGraph({ log: sum() }, { name: "desk", version: "2.0.0" })
      .addNode("other", () => ({}))
      .addEdge(START, "other")
      .addEdge("other", END)
      .compile({ checkpointer: store });
    await expect(v2.invoke(new Command({ resume: "yes" }), { thread })).rejects.toMatchObject({
      code: "GRAPH_CHANGED",
      message:
        "A run of graph desk 1.0.0 cannot go on under version 2.0.0: channel log is sum and was append; " +
        "node ask is due and gone. Register a migration from 1.0.0.",
    });
    // And the thread is as it was: the old graph goes on with it.
    const { status } = await v1(store).invoke(new Command({ resume: "yes" }), { thread });
    expect(status).toBe("completed");
  });

  test("goes on through a migration from the version that was recorded", async () => {
    const store = new MemoryCheckpointer();
    await v1(store).invoke({}, { thread });
    const v2 = new StateGraph(
      { entries: sum(), answer: z.string() },
      { name: "desk", version: "2.0.0" },
    )
      .addNode("question", (_, ctx) => ({ answer: ctx.interrupt<string>("?"), entries: 1 }))
      .addEdge(START, "question")
      .addEdge("question", END)
      .compile({
        checkpointer: store,
        migrations: [
          {
            from: "1.0.0",
            nodes: { ask: "question" },
            values: ({ log, ...rest }) => ({ ...rest, entries: (log as string[]).length }),
          },
        ],
      });
    const { output } = await v2.invoke(new Command({ resume: "yes" }), { thread });
    expect(output).toEqual({ entries: 2, answer: "yes" });
    expect((await v2.getState(thread)).status).toBe("completed");
  });

  test("reads records of a subgraph's old shape", async () => {
    const store = new MemoryCheckpointer();
    const build = (version: string, more: boolean) => {
      const inner = new StateGraph(channels)
        .addNode("ask", (_, ctx) => ({ log: [ctx.interrupt<string>("?")] }))
        .addNode("more", () => ({ log: ["more"] }))
        .addEdge(START, "ask")
        .addConditionalEdges("ask", () => (more ? "more" : END), ["more", END])
        .addEdge("more", END)
        .compile();
      return new StateGraph(channels, { version, ...(more ? { maxSteps: 50 } : {}) })
        .addSubgraph("inner", inner, { map: () => ({}), merge: ({ log }) => ({ log: [...log] }) })
        .addEdge(START, "inner")
        .addEdge("inner", END)
        .compile({ checkpointer: store });
    };
    await build("1.0.0", false).invoke({}, { thread });
    const { output } = await build("1.1.0", true).invoke(new Command({ resume: "yes" }), {
      thread,
    });
    expect(output.log).toEqual(["yes", "more"]);
  });
});

test("a thread keeps its state from run to run", async () => {
  const graph = new StateGraph({ log: append(z.string()) })
    .addNode("count", ({ log }) => ({ log: [`run ${log.length}`] }))
    .addEdge(START, "count")
    .addEdge("count", END)
    .compile({ checkpointer: new MemoryCheckpointer() });
  await graph.invoke({}, { thread });
  const { output } = await graph.invoke({}, { thread });
  expect(output.log).toEqual(["run 0", "run 1"]);
});

test("sent inputs survive the process that has sent them", async () => {
  const store = new MemoryCheckpointer();
  const build = () =>
    new StateGraph(channels)
      .addNode("ask", ({ item }, ctx) => ({ log: [`${item}: ${ctx.interrupt<string>(item)}`] }), {
        input: z.object({ item: z.string() }),
      })
      .addConditionalEdges(START, () => [new Send("ask", { item: "a" })], ["ask"])
      .addEdge("ask", END)
      .compile({ checkpointer: store });
  await build().invoke({}, { thread });
  const { output } = await build().invoke(new Command({ resume: "yes" }), { thread });
  expect(output.log).toEqual(["a: yes"]);
});

test("a run over which ten processes end, one after the other, fails and says at which node; another run may follow", async () => {
  const store = new MemoryCheckpointer();
  let begun = Promise.withResolvers<void>();
  let executed = 0;
  const build = () =>
    new StateGraph(channels)
      .addNode("fine", () => ({ log: ["fine"] }))
      .addNode("poison", async () => {
        executed++;
        begun.resolve();
        if (executed <= 10) await new Promise(() => {});
        return { log: ["cured"] };
      })
      .addEdge(START, "fine")
      .addEdge("fine", "poison")
      .addEdge("poison", END)
      .compile({ checkpointer: store });
  const die = async (input: object | null): Promise<void> => {
    begun = Promise.withResolvers();
    const dying = build().invoke(input, { thread, durability: "sync" });
    await begun.promise;
    store.revoke(thread);
    await expect(dying).rejects.toMatchObject({ code: "FENCED" });
  };
  await die({});
  await expect(build().invoke({}, { thread })).rejects.toMatchObject({ code: "CONFLICT" });
  for (let lives = 1; lives < 10; lives++) await die(null);
  expect(executed).toBe(10);
  // Who is refused executes nothing, and ends nobody.
  await expect(build().invoke({}, { thread })).rejects.toMatchObject({ code: "CONFLICT" });
  await expect(build().invoke(new Command({ resume: 1 }), { thread })).rejects.toMatchObject({
    code: "NO_RUN",
  });
  const state = await build().getState(thread);
  expect(state).toMatchObject({ status: "running", next: ["poison"] });
  await expect(build().resume(thread)).rejects.toMatchObject({
    code: "AGENT_LOST",
    message: expect.stringContaining("while they executed poison"),
  });
  const { output } = await build().invoke(null, { thread });
  expect(output.log).toEqual(["fine", "cured"]);
  expect(executed).toBe(11);
});
