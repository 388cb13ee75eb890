import { setImmediate as turn } from "node:timers/promises";
import { MeshError } from "@plexus/core";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { append, sum } from "./channel.ts";
import { Command, END, START, Send } from "./command.ts";
import { StateGraph } from "./graph.ts";

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
      // Turns follow each other.
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
