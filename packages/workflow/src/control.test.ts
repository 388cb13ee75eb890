import { setImmediate as turn } from "node:timers/promises";
import { MeshError } from "@plexus/core";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { append, sum } from "./channel.ts";
import { Command, END, START, Send } from "./command.ts";
import { StateGraph } from "./graph.ts";
import { MemoryCheckpointer } from "./memory-checkpointer.ts";

const channels = { log: append(z.string()) };
const log = (...entries: string[]) => ({ log: entries });

const loop = (options: { maxSteps?: number; maxVisits?: number }) => {
  const { maxVisits, ...graph } = options;
  return new StateGraph(channels, graph)
    .addNode("again", () => ({}), maxVisits === undefined ? {} : { maxVisits })
    .addEdge(START, "again")
    .addConditionalEdges("again", () => "again", ["again", END])
    .compile();
};

const fan = (options: object, work: (item: number) => Promise<object>) =>
  new StateGraph({
    items: z.array(z.number()),
    done: append(z.number()),
    failed: append(z.string()),
  })
    .addNode("each", async ({ item }) => work(item), {
      input: z.object({ item: z.number() }),
      ...options,
    })
    .addConditionalEdges(START, ({ items }) => items.map((item) => new Send("each", { item })), [
      "each",
    ])
    .addEdge("each", END)
    .compile();

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

const full = (): never => {
  throw new Error("fully booked");
};

const routed = (decide: () => string) =>
  new StateGraph(channels)
    .addNode("a", () => ({}))
    .addNode("b", () => ({}))
    .addEdge(START, "a")
    .addConditionalEdges("a", decide, ["b", END])
    .addEdge("b", END)
    .compile();

const undecided = (): never => {
  throw new Error("undecided");
};

const even = async (item: number) => {
  if (item % 2 === 1) throw new Error(`${item} is odd`);
  return { done: [item] };
};
const noteOdd = (error: MeshError, input: unknown) => ({
  failed: [`${(input as { item: number }).item}: ${(error.cause as Error).message}`],
});

describe("edges", () => {
  test("a conditional edge goes by the state with its node's own updates, and may be labeled", async () => {
    const graph = new StateGraph({ score: z.number() })
      .addNode("grade", () => ({ score: 7 }))
      .addNode("pass", () => ({ score: 100 }))
      .addNode("fail", () => ({ score: 0 }))
      .addEdge(START, "grade")
      .addConditionalEdges("grade", ({ score }) => (score > 5 ? "good" : "bad"), {
        good: "pass",
        bad: "fail",
      })
      .addEdge("pass", END)
      .addEdge("fail", END)
      .compile();
    expect((await graph.invoke({ score: 1 })).output).toEqual({ score: 100 });
  });

  test("a router may be asynchronous, and choose several", async () => {
    const graph = new StateGraph(channels)
      .addNode("a", () => log("a"))
      .addNode("b", () => log("b"))
      .addNode("c", () => log("c"))
      .addConditionalEdges(START, async () => ["c", "a"], ["a", "b", "c"])
      .addConditionalEdges("a", () => "b", ["b"])
      .addEdge("b", END)
      .addEdge("c", END)
      .compile();
    expect((await graph.invoke({})).output.log).toEqual(["c", "a", "b"]);
  });

  test("a router that leads where it may not, or throws, fails its node", async () => {
    await expect(routed(() => "c").invoke({})).rejects.toThrow(
      "A conditional edge of a leads to c, which is not among its targets",
    );
    await expect(routed(undecided).invoke({})).rejects.toThrow("Node a: Error: undecided");
  });

  test("a join waits for all of its sources, of whatever steps; a plain edge for none", async () => {
    const graph = new StateGraph(channels)
      .addNode("a", () => log("a"))
      .addNode("b1", () => log("b1"))
      .addNode("b2", () => log("b2"))
      .addNode("join", () => log("join"))
      .addNode("any", () => log("any"))
      .addEdge(START, "a")
      .addEdge(START, "b1")
      .addEdge("b1", "b2")
      .addEdge(["a", "b2"], "join")
      .addEdge("a", "any")
      .addEdge("join", END)
      .addEdge("any", END)
      .compile();
    expect((await graph.invoke({})).output.log).toEqual(["a", "b1", "any", "b2", "join"]);
  });

  test("a deferred node is executed once, when all branches have come to their end", async () => {
    const graph = new StateGraph(channels)
      .addNode("short", () => log("short"))
      .addNode("long", (_, { visits }) => log(`long ${visits}`))
      .addNode("last", () => log("last"), { defer: true })
      .addEdge(START, "short")
      .addEdge(START, "long")
      .addEdge("short", "last")
      .addConditionalEdges("long", (_, { visits }) => (visits < 3 ? "long" : "last"), [
        "long",
        "last",
      ])
      .addEdge("last", END)
      .compile();
    const { output } = await graph.invoke({});
    expect(output.log).toEqual(["short", "long 1", "long 2", "long 3", "last"]);
  });
});

describe("loops", () => {
  test("that do not end fail at the graph's limit of steps, and say so", async () => {
    await expect(loop({ maxSteps: 5 }).invoke({})).rejects.toMatchObject({
      code: "STEP_LIMIT",
      message: expect.stringContaining("has not ended after 5 steps"),
    });
    await expect(loop({}).invoke({})).rejects.toMatchObject({ code: "STEP_LIMIT" });
  });

  test("fail at a node's limit of visits, and name it", async () => {
    await expect(loop({ maxVisits: 3 }).invoke({})).rejects.toThrow(
      "Node again of graph graph may be executed 3 times in a run",
    );
  });

  test("of synchronous nodes leave the process time for other things", async () => {
    let ticks = 0;
    const timer = setInterval(() => ticks++, 0);
    await expect(loop({ maxSteps: 50_000 }).invoke({})).rejects.toMatchObject({
      code: "STEP_LIMIT",
    });
    clearInterval(timer);
    expect(ticks).toBeGreaterThan(1);
  });
});

describe("send", () => {
  test("executes as many at a time as the node allows, and keeps the order of the sends", async () => {
    let now = 0;
    let most = 0;
    const graph = fan({ concurrency: 3 }, async (item) => {
      most = Math.max(most, ++now);
      // oxlint-disable-next-line no-await-in-loop -- turns follow each other
      for (let turns = 0; turns < 10 - item; turns++) await turn();
      now--;
      return { done: [item] };
    });
    const items = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];
    const { output } = await graph.invoke({ items });
    expect(most).toBe(3);
    expect(output.done).toEqual(items);
  });

  test("to nobody ends the branch", async () => {
    const graph = fan({}, async (item) => ({ done: [item] }));
    expect((await graph.invoke({ items: [] })).output.done).toEqual([]);
  });

  test("fails the run with the first failure, and cancels the others", async () => {
    const aborted: number[] = [];
    const graph = new StateGraph(channels)
      .addNode("each", async (item: unknown, { signal }) => {
        if (item === 1) throw new Error("one is bad");
        await new Promise<void>((resolve) => {
          signal.addEventListener("abort", () => {
            aborted.push(item as number);
            resolve();
          });
        });
      })
      .addConditionalEdges(START, () => [0, 1, 2].map((n) => new Send("each", n)), ["each"])
      .addEdge("each", END)
      .compile();
    await expect(graph.invoke({})).rejects.toThrow("Node each: Error: one is bad");
    expect(aborted).toEqual([0, 2]);
  });

  test("survives as many failures as the node tolerates, with what they count as", async () => {
    const tolerant = fan({ failures: { atMost: 2, instead: noteOdd } }, even);
    const { output } = await tolerant.invoke({ items: [0, 1, 2, 3] });
    expect(output).toMatchObject({ done: [0, 2], failed: ["1: 1 is odd", "3: 3 is odd"] });
    await expect(tolerant.invoke({ items: [1, 3, 5] })).rejects.toThrow("5 is odd");
  });

  test("to ten thousand is quick enough to wait for", async () => {
    const graph = fan({ concurrency: 64 }, async (item) => ({ done: [item] }));
    const items = Array.from({ length: 10_000 }, (_, i) => i);
    expect((await graph.invoke({ items })).output.done).toEqual(items);
  });

  test("keeps to the graph's bound as well", async () => {
    let now = 0;
    let most = 0;
    const graph = new StateGraph(channels, { maxConcurrency: 2 })
      .addNode("each", async () => {
        most = Math.max(most, ++now);
        await turn();
        now--;
      })
      .addConditionalEdges(START, () => [0, 1, 2, 3, 4].map((n) => new Send("each", n)), ["each"])
      .addEdge("each", END)
      .compile();
    await graph.invoke({});
    expect(most).toBe(2);
  });
});

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

test("a hand-off may go in circles between nodes that know each other", async () => {
  const graph = new StateGraph({ n: sum(), log: append(z.string()) })
    .addNode("ping", ({ n }) => new Command({ goto: n < 3 ? "pong" : END, update: log("ping") }), {
      ends: ["pong", END],
    })
    .addNode("pong", () => new Command({ goto: "ping", update: { n: 1, log: ["pong"] } }), {
      ends: ["ping"],
    })
    .addEdge(START, "ping")
    .compile();
  const { output } = await graph.invoke({});
  expect(output.log).toEqual(["ping", "pong", "ping", "pong", "ping", "pong", "ping"]);
});
