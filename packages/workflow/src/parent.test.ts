import { MeshError } from "@plexus/core";
import { expect, test } from "vitest";
import { z } from "zod";
import { append } from "./channel.ts";
import { Command, END, START, Send } from "./command.ts";
import type { CompiledGraph } from "./compiled-graph.ts";
import { StateGraph } from "./graph.ts";
import { MemoryCheckpointer } from "./memory-checkpointer.ts";
import { decodeEvents } from "./record.ts";

/* A subgraph's node directs the graph around it. */

const channels = { log: append(z.string()) };

/** A subgraph whose node `decide` returns that command, and would go on to `later` otherwise. */
function deciding(command: () => Command) {
  return new StateGraph(channels, { name: "inner" })
    .addNode("decide", command, { ends: [Command.PARENT] })
    .addNode("later", () => ({ log: ["later"] }))
    .addEdge(START, "decide")
    .addEdge("decide", "later")
    .addEdge("later", END)
    .compile();
}

/** A graph around it, with a node `human` that only a command leads to. */
function around(inner: CompiledGraph, ends: readonly string[] = ["human"]) {
  return new StateGraph(channels, { name: "outer" })
    .addSubgraph("inner", inner, {
      map: () => ({ log: ["in"] }),
      merge: () => ({ log: ["merged"] }),
      ends,
    })
    .addNode("human", (input) => ({ log: [`human ${JSON.stringify(input)}`] }), {
      input: z.unknown(),
    })
    .addEdge(START, "inner")
    .addConditionalEdges("human", () => END, [END, "human"])
    .addNode("next", () => ({ log: ["next"] }))
    .addConditionalEdges("human", () => END, ["next", END])
    .addEdge("next", END);
}

const parent = (goto: string | Send | Send[], update: object = { log: ["handed over"] }) =>
  new Command({ graph: Command.PARENT, goto, update });

test("its command ends the subgraph, and is the graph's around in place of the subgraph's output", async () => {
  const graph = around(deciding(() => parent("human"))).compile();
  const { output } = await graph.invoke({ log: [] });
  expect(output.log).toEqual(["handed over", 'human {"log":["handed over"]}']);
});

test("it may send, several times, and it may end the graph around", async () => {
  const sends = around(deciding(() => parent([new Send("human", 1), new Send("human", 2)])));
  expect((await sends.compile().invoke({ log: [] })).output.log).toEqual([
    "handed over",
    "human 1",
    "human 2",
  ]);
  const ends = around(
    deciding(() => parent(END)),
    ["human", END],
  );
  expect((await ends.compile().invoke({ log: [] })).output.log).toEqual(["handed over"]);
});

test("it adds to the edges of the subgraph's node, as every command does", async () => {
  const graph = new StateGraph(channels)
    .addSubgraph(
      "inner",
      deciding(() => parent("human")),
      {
        map: () => ({}),
        merge: () => ({}),
        ends: ["human"],
      },
    )
    .addNode("human", () => ({ log: ["human"] }))
    .addNode("next", () => ({ log: ["next"] }))
    .addEdge(START, "inner")
    .addEdge("inner", "next")
    .addEdge("human", END)
    .addEdge("next", END)
    .compile();
  expect((await graph.invoke({})).output.log).toEqual(["handed over", "next", "human"]);
});

test("it reaches the closest graph around, and no further", async () => {
  const middle = around(deciding(() => parent("human"))).compile();
  const graph = around(middle).compile();
  await expect(graph.invoke({ log: [] })).resolves.toMatchObject({ output: { log: ["merged"] } });
});

test("what else its step does is finished, and lost with the subgraph's state", async () => {
  let finished = false;
  const inner = new StateGraph(channels)
    .addNode("decide", () => parent("human"), { ends: [Command.PARENT] })
    .addNode("slow", async () => {
      await new Promise(setImmediate);
      finished = true;
      return { log: ["slow"] };
    })
    .addNode("last", () => ({ log: ["last"] }), { defer: true })
    .addEdge(START, "decide")
    .addEdge(START, "slow")
    .addEdge(START, "last")
    .addEdge("slow", END)
    .addEdge("last", END)
    .compile();
  const { output } = await around(inner).compile().invoke({ log: [] });
  expect(output.log).toEqual(["handed over", 'human {"log":["handed over"]}']);
  expect(finished).toBe(true);
});

test("what it has done is undone with the run, backwards", async () => {
  const undone: string[] = [];
  const inner = new StateGraph(channels)
    .addNode("book", () => ({ log: ["booked"] }), {
      compensate: ({ log }) => undone.push(...(log ?? [])),
    })
    .addNode("decide", () => parent("human"), {
      ends: [Command.PARENT],
      compensate: () => undone.push("decided"),
    })
    .addEdge(START, "book")
    .addEdge("book", "decide")
    .compile();
  const graph = new StateGraph(channels)
    .addSubgraph("inner", inner, { map: () => ({}), merge: () => ({}), ends: ["human"] })
    .addNode("human", () => {
      throw new MeshError("CONFLICT", "No.", { retryable: false });
    })
    .addEdge(START, "inner")
    .addEdge("human", END)
    .compile();
  await expect(graph.invoke({})).rejects.toMatchObject({ code: "CONFLICT" });
  expect(undone).toEqual(["decided", "booked"]);
});

test("a cached node's command is executed, and not kept", async () => {
  let executed = 0;
  const inner = new StateGraph(channels)
    .addNode("decide", () => (executed++, parent("human")), { ends: [Command.PARENT], cache: {} })
    .addEdge(START, "decide")
    .compile();
  const graph = around(inner).compile();
  await graph.invoke({ log: [] });
  const { output } = await graph.invoke({ log: [] });
  expect(output.log[0]).toBe("handed over");
  expect(executed).toBe(2);
});

test.each([
  [
    "a target that is not among the ends of the subgraph's node",
    () => around(deciding(() => parent("next"))),
    "Node inner leads to next, which is not among its ends.",
  ],
  [
    "an update that the graph around does not take",
    () => around(deciding(() => parent("human", { nonsense: 1 }))),
    "Node inner: there is no channel nonsense.",
  ],
  [
    "a command of a node that does not say it directs the graph around",
    () =>
      around(
        new StateGraph(channels)
          .addNode("decide", () => parent("human"), { ends: [END] })
          .addEdge(START, "decide")
          .compile(),
      ),
    "Node decide directs the graph around it, and Command.PARENT is not among its ends.",
  ],
  [
    "two commands in one step",
    () =>
      around(
        new StateGraph(channels, { name: "torn" })
          .addNode("a", () => parent("human"), { ends: [Command.PARENT] })
          .addNode("b", () => parent("human"), { ends: [Command.PARENT] })
          .addEdge(START, "a")
          .addEdge(START, "b")
          .compile(),
      ),
    "Nodes a and b of graph torn both direct the graph around it, in step 1.",
  ],
])("%s fails the run, and names the culprit", async (_, graph, message) => {
  await expect(graph().compile().invoke({ log: [] })).rejects.toMatchObject({
    code: "INVALID_OUTPUT",
    message: expect.stringContaining(message),
  });
});

test("in a graph that nothing is around, it fails the run", async () => {
  await expect(deciding(() => parent("human")).invoke({})).rejects.toMatchObject({
    code: "INVALID_OUTPUT",
    message: "Node decide directs the graph around it, and there is none.",
  });
});

/** A graph of that version, with its node for humans under that name. */
function outer(version: string, human: string) {
  return new StateGraph(channels, { version })
    .addSubgraph(
      "inner",
      deciding(() => parent("human")),
      {
        map: () => ({}),
        merge: () => ({}),
        ends: [human],
      },
    )
    .addNode(human, () => ({ log: [human] }))
    .addEdge(START, "inner")
    .addEdge(human, END);
}

test("a hand-over that was recorded under an older graph goes to its node's new name", async () => {
  const store = new MemoryCheckpointer();
  await outer("1.0.0", "human").compile({ checkpointer: store }).invoke({}, { thread: "t" });
  const { records } = await store.read("t", { whole: true });
  const events = [...decodeEvents(records)];
  const decided = events.findIndex(({ event }) => event.type === "done");
  const cut = new MemoryCheckpointer();
  const owned = await cut.own("t");
  await owned.append(records.slice(0, decided + 1).map(({ bytes }) => bytes));
  await owned[Symbol.asyncDispose]();
  const graph = outer("2.0.0", "person").compile({
    checkpointer: cut,
    migrations: [{ from: "1.0.0", nodes: { human: "person" } }],
  });
  const { output } = await graph.invoke(null, { thread: "t" });
  expect(output.log).toEqual(["handed over", "person"]);
});

test("drawings show where it leads", () => {
  const graph = around(deciding(() => parent("human"))).compile();
  expect(graph.draw()).toContain("! PARENT");
  const chart = graph.mermaid();
  expect(chart).toContain('n_inner___parent__(["PARENT"])');
  expect(chart).toContain("n_inner_n_decide -.-> n_inner___parent__");
});
