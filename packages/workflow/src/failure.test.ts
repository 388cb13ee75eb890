import { MeshError } from "@plexus/core";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { append, sum } from "./channel.ts";
import { Command, END, START } from "./command.ts";
import { StateGraph } from "./graph.ts";
import { MemoryCheckpointer } from "./memory-checkpointer.ts";

const channels = { log: append(z.string()) };
const log = (...entries: string[]) => ({ log: entries });

const trip = (undone: string[], bookHotel: () => object) =>
  new StateGraph({ log: append(z.string()), flight: z.string(), nights: sum() })
    .addNode("flight", () => ({ flight: "LH1", log: ["flight"] }), {
      compensate: ({ flight }) => void undone.push(`flight ${flight}`),
    })
    .addNode("car", () => ({ log: ["car"] }), { compensate: () => void undone.push("car") })
    .addNode("hotel", bookHotel)
    .addEdge(START, "flight")
    .addEdge("flight", "car")
    .addEdge("car", "hotel")
    .addEdge("hotel", END)
    .compile({ checkpointer: new MemoryCheckpointer() });

const down = () => Promise.reject(new Error("no connection"));

const full = (): never => {
  throw new Error("fully booked");
};

describe("policies", () => {
  test("a failed attempt is repeated as often as the retry policy says, under one execution id", async () => {
    const attempts: [number, string][] = [];
    const graph = new StateGraph(channels)
      .addNode(
        "flaky",
        (_, { attempt, execution }) => {
          attempts.push([attempt, execution]);
          if (attempt < 3) throw new Error("not yet");
          return log("done");
        },
        { retry: { attempts: 3, first: 1, max: 2 } },
      )
      .addEdge(START, "flaky")
      .addEdge("flaky", END)
      .compile();
    expect((await graph.invoke({})).output.log).toEqual(["done"]);
    expect(attempts.map(([attempt]) => attempt)).toEqual([1, 2, 3]);
    expect(new Set(attempts.map(([, execution]) => execution)).size).toBe(1);
  });

  test("errors that say that repeating is no use, or that `when` does not take, are not repeated", async () => {
    let attempts = 0;
    const build = (error: Error, when?: (error: unknown) => boolean) =>
      new StateGraph(channels)
        .addNode(
          "a",
          () => {
            attempts++;
            throw error;
          },
          { retry: { attempts: 3, first: 0, ...(when ? { when } : {}) } },
        )
        .addEdge(START, "a")
        .addEdge("a", END)
        .compile();
    await expect(build(new MeshError("BUDGET_EXCEEDED", "broke")).invoke({})).rejects.toMatchObject(
      {
        code: "BUDGET_EXCEEDED",
      },
    );
    await expect(build(new Error("x"), () => false).invoke({})).rejects.toThrow("x");
    expect(attempts).toBe(2);
    await expect(build(new Error("x")).invoke({})).rejects.toThrow("x");
    expect(attempts).toBe(5);
    await expect(build(new Error("x"), full).invoke({})).rejects.toThrow("fully booked");
  });

  test("an attempt that takes longer than its timeout is told to stop, and fails with TIMEOUT", async () => {
    let stopped = false;
    const graph = new StateGraph(channels)
      .addNode(
        "hangs",
        (_, { signal }) => {
          signal.addEventListener("abort", () => (stopped = true));
          return new Promise(() => {});
        },
        { timeout: 5 },
      )
      .addEdge(START, "hangs")
      .addEdge("hangs", END)
      .compile();
    await expect(graph.invoke({})).rejects.toMatchObject({ code: "TIMEOUT" });
    expect(stopped).toBe(true);
  });

  test("a cached node is executed once for equal inputs, until the time is over", async () => {
    let executed = 0;
    let now = 1_000;
    const graph = new StateGraph({ n: z.number(), log: append(z.string()) })
      .addNode("costly", ({ n }) => log(`${n}: ${++executed}`), {
        input: z.object({ n: z.number() }),
        cache: { ttl: "1m" },
      })
      .addEdge(START, "costly")
      .addEdge("costly", END)
      .compile({ now: () => now });
    const ask = async (n: number) => (await graph.invoke({ n })).output.log;
    expect(await ask(1)).toEqual(["1: 1"]);
    expect(await ask(1)).toEqual(["1: 1"]);
    expect(await ask(2)).toEqual(["2: 2"]);
    now += 60_001;
    expect(await ask(1)).toEqual(["1: 3"]);
  });
});

test("a cache that does not work is done without, and nothing is executed twice for it", async () => {
  let executed = 0;
  const graph = new StateGraph(channels)
    .addNode("costly", () => log(`${++executed}`), { cache: {}, retry: { attempts: 2, first: 0 } })
    .addEdge(START, "costly")
    .addEdge("costly", END)
    .compile({ cache: { get: down, set: down } });
  expect((await graph.invoke({})).output.log).toEqual(["1"]);
  expect(executed).toBe(1);
});

test("a node whose run is canceled while its cache is asked is not executed", async () => {
  let executed = false;
  const asked = Promise.withResolvers<void>();
  const answer = Promise.withResolvers<undefined>();
  const get = () => {
    asked.resolve();
    return answer.promise;
  };
  const graph = new StateGraph(channels)
    .addNode("costly", () => void (executed = true), { cache: {} })
    .addEdge(START, "costly")
    .addEdge("costly", END)
    .compile({ cache: { get, set: async () => {} } });
  const giveUp = new AbortController();
  const run = graph.invoke({}, { signal: giveUp.signal });
  await asked.promise;
  giveUp.abort();
  await expect(run).rejects.toMatchObject({ code: "CANCELED" });
  answer.resolve(undefined);
  await new Promise(setImmediate);
  expect(executed).toBe(false);
});

describe("compensation", () => {
  test("undoes what has been done, backwards, when the run fails", async () => {
    const undone: string[] = [];
    const graph = trip(undone, full);
    await expect(graph.invoke({}, { thread: "t" })).rejects.toThrow("fully booked");
    expect(undone).toEqual(["car", "flight LH1"]);
    expect(await graph.getState("t")).toMatchObject({ status: "failed" });
    await expect(graph.invoke(null, { thread: "t" })).rejects.toMatchObject({ code: "NO_RUN" });
  });

  test("undoes nothing when the run succeeds", async () => {
    const undone: string[] = [];
    await trip(undone, () => ({})).invoke({});
    expect(undone).toEqual([]);
  });

  test("reaches into subgraphs that have ended, and those that have not", async () => {
    const undone: string[] = [];
    const step = (name: string, fails: boolean) =>
      new StateGraph(channels)
        .addNode("deep", () => log(name), { compensate: () => void undone.push(name) })
        .addNode("then", () => {
          if (fails) throw new Error("deep down");
        })
        .addEdge(START, "deep")
        .addEdge("deep", "then")
        .addEdge("then", END)
        .compile();
    const mapping = { map: () => ({}), merge: () => ({}) };
    const middle = new StateGraph(channels)
      .addSubgraph("inner", step("inner", true), mapping)
      .addEdge(START, "inner")
      .addEdge("inner", END)
      .compile();
    const graph = new StateGraph(channels)
      .addSubgraph("first", step("first", false), mapping)
      .addSubgraph("second", middle, mapping)
      .addEdge(START, "first")
      .addEdge("first", "second")
      .addEdge("second", END)
      .compile();
    await expect(graph.invoke({})).rejects.toThrow("deep down");
    expect(undone).toEqual(["inner", "first"]);
  });

  test("that fails for good is told of, and the rest is undone nevertheless", async () => {
    const undone: string[] = [];
    let attempts = 0;
    const graph = new StateGraph(channels)
      .addNode("a", () => ({}), { compensate: () => void undone.push("a") })
      .addNode("b", () => ({}), {
        retry: { attempts: 2, first: 0 },
        compensate: () => {
          attempts++;
          throw new Error("cannot");
        },
      })
      .addNode("c", full)
      .addEdge(START, "a")
      .addEdge("a", "b")
      .addEdge("b", "c")
      .addEdge("c", END)
      .compile();
    await expect(graph.invoke({})).rejects.toMatchObject({
      message: "Node c: Error: fully booked",
      details: { uncompensated: ["b"] },
    });
    expect(attempts).toBe(2);
    expect(undone).toEqual(["a"]);
  });
});

const refundByHand = (checkpointer: MemoryCheckpointer, undone: string[]) =>
  new StateGraph(channels)
    .addNode("book", () => ({}), {
      compensate: (_, ctx) => void undone.push(ctx.interrupt<string>("Refund by hand?")),
    })
    .addNode("fail", full)
    .addEdge(START, "book")
    .addEdge("book", "fail")
    .addEdge("fail", END)
    .compile({ checkpointer });

describe("compensation that waits", () => {
  test("for an answer asks for it, and the run fails when it is undone", async () => {
    const undone: string[] = [];
    const graph = refundByHand(new MemoryCheckpointer(), undone);
    const asked = await graph.invoke({}, { thread: "t" });
    expect(asked).toMatchObject({
      status: "waiting",
      interrupts: [{ node: "book", value: "Refund by hand?" }],
    });
    const resumed = graph.invoke(new Command({ resume: "done" }), { thread: "t" });
    await expect(resumed).rejects.toThrow("fully booked");
    expect(undone).toEqual(["done"]);
  });

  test("is not told of as completed by the process that takes the run over", async () => {
    const store = new MemoryCheckpointer();
    const undone: string[] = [];
    void refundByHand(store, undone).invoke({}, { thread: "t", durability: "sync" });
    const graph = refundByHand(store, undone);
    await expect
      .poll(async () => (await graph.getState("t").catch(() => undefined))?.interrupts.length)
      .toBe(1);
    store.revoke("t");
    expect(await graph.resume("t")).toMatchObject({ status: "waiting" });
    const resumed = graph.invoke(new Command({ resume: "done" }), { thread: "t" });
    await expect(resumed).rejects.toThrow("fully booked");
  });
});

describe("cancellation", () => {
  test("reaches the node that is executed, undoes what has been done, and rejects with CANCELED", async () => {
    const told: string[] = [];
    const gaveUp = new AbortController();
    const graph = new StateGraph(channels)
      .addNode("done", () => ({}), {
        compensate: (_, { signal }) => void told.push(`undone, aborted: ${signal.aborted}`),
      })
      .addNode("hangs", (_, { signal }) => {
        signal.addEventListener("abort", () => told.push("stopped"));
        gaveUp.abort();
        return new Promise(() => {});
      })
      .addEdge(START, "done")
      .addEdge("done", "hangs")
      .addEdge("hangs", END)
      .compile({ checkpointer: new MemoryCheckpointer() });
    const run = graph.invoke({}, { thread: "t", signal: gaveUp.signal });
    await expect(run).rejects.toMatchObject({ code: "CANCELED" });
    expect(told).toEqual(["stopped", "undone, aborted: false"]);
    expect(await graph.getState("t")).toMatchObject({ status: "canceled" });
  });

  test("of a run that waits is possible from elsewhere; of one that is over it does nothing", async () => {
    const store = new MemoryCheckpointer();
    const build = () =>
      new StateGraph(channels)
        .addNode("ask", (_, ctx) => log(ctx.interrupt<string>("?")))
        .addEdge(START, "ask")
        .addEdge("ask", END)
        .compile({ checkpointer: store });
    await build().invoke({}, { thread: "t" });
    expect(await build().cancel("t", "changed my mind")).toBe(true);
    expect(await build().cancel("t")).toBe(false);
    const state = await build().getState("t");
    expect(state).toMatchObject({ status: "canceled", error: { message: "changed my mind" } });
  });

  test("before it begins, nothing is executed", async () => {
    let executed = false;
    const graph = new StateGraph(channels)
      .addNode("a", () => void (executed = true))
      .addEdge(START, "a")
      .addEdge("a", END)
      .compile();
    await expect(graph.invoke({}, { signal: AbortSignal.abort() })).rejects.toThrow("aborted");
    expect(executed).toBe(false);
  });
});

test("a failed run goes on where it failed, and repeats nothing that has ended", async () => {
  let broken = true;
  const executed: string[] = [];
  const inner = new StateGraph(channels)
    .addNode("deep", () => void executed.push("deep"))
    .addNode("fragile", () => {
      executed.push("fragile");
      if (broken) throw new Error("broken");
    })
    .addEdge(START, "deep")
    .addEdge("deep", "fragile")
    .addEdge("fragile", END)
    .compile();
  const graph = new StateGraph(channels)
    .addNode("sibling", () => void executed.push("sibling"))
    .addSubgraph("inner", inner, { map: () => ({}), merge: () => log("inner") })
    .addNode("after", () => void executed.push("after"))
    .addEdge(START, "sibling")
    .addEdge(START, "inner")
    .addEdge(["sibling", "inner"], "after")
    .addEdge("after", END)
    .compile({ checkpointer: new MemoryCheckpointer() });
  await expect(graph.invoke({}, { thread: "t" })).rejects.toThrow("broken");
  broken = false;
  const { status } = await graph.invoke(null, { thread: "t" });
  expect(status).toBe("completed");
  expect(executed).toEqual(["sibling", "deep", "fragile", "fragile", "after"]);
});

test("a subgraph that failed between two steps cannot be tried again, and its run does not wait for it", async () => {
  let most = 5;
  const loop = new StateGraph({ n: sum() }, { maxSteps: 3 })
    .addNode("count", () => ({ n: 1 }))
    .addEdge(START, "count")
    .addConditionalEdges("count", ({ n }) => (n > most ? END : "count"), ["count", END])
    .compile();
  const graph = new StateGraph({ n: sum() })
    .addSubgraph("loop", loop, { map: () => ({}), merge: ({ n }) => ({ n }) })
    .addEdge(START, "loop")
    .addEdge("loop", END)
    .compile({ checkpointer: new MemoryCheckpointer() });
  await expect(graph.invoke({}, { thread: "t" })).rejects.toMatchObject({ code: "STEP_LIMIT" });
  await expect(graph.invoke(null, { thread: "t" })).rejects.toMatchObject({ code: "NO_RUN" });
  most = 2;
  expect((await graph.invoke({}, { thread: "t" })).output).toEqual({ n: 3 });
});

test("a subgraph whose result could not be merged is not executed again", async () => {
  let broken = true;
  let executed = 0;
  const inner = new StateGraph(channels)
    .addNode("deep", () => log(`deep ${++executed}`))
    .addEdge(START, "deep")
    .addEdge("deep", END)
    .compile();
  const merge = ({ log: entries }: { readonly log: readonly string[] }) => {
    if (broken) throw new Error("broken");
    return { log: entries };
  };
  const graph = new StateGraph(channels)
    .addSubgraph("inner", inner, { map: () => ({}), merge })
    .addEdge(START, "inner")
    .addEdge("inner", END)
    .compile({ checkpointer: new MemoryCheckpointer() });
  await expect(graph.invoke({}, { thread: "t" })).rejects.toThrow("broken");
  await expect(graph.invoke(null, { thread: "t" })).rejects.toThrow("broken");
  broken = false;
  expect((await graph.invoke(null, { thread: "t" })).output.log).toEqual(["deep 1"]);
});

test("the original error is the cause of what the caller gets", async () => {
  const original = new TypeError("original");
  const graph = new StateGraph(channels)
    .addNode("a", () => {
      throw original;
    })
    .addEdge(START, "a")
    .addEdge("a", END)
    .compile();
  await expect(graph.invoke({})).rejects.toMatchObject({ code: "AGENT_FAILED", cause: original });
});
