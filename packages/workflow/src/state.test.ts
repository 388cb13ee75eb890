import { describe, expect, test } from "vitest";
import { z } from "zod";
import { append, messages, reduced, removeMessage, sum } from "./channel.ts";
import { Command, END, START, Send } from "./command.ts";
import { StateGraph } from "./graph.ts";
import { MemoryCheckpointer } from "./memory-checkpointer.ts";

describe("channels", () => {
  test("merge the updates of a step in the order of its nodes, whoever ends first", async () => {
    const graph = new StateGraph({
      log: append(z.string()),
      total: sum(),
      most: reduced(z.number(), { initial: () => -Infinity, reducer: Math.max }),
      last: z.string().default("none"),
    })
      .addNode("slow", async () => {
        await new Promise(setImmediate);
        return { log: ["slow"], total: 1, most: 7 };
      })
      .addNode("quick", () => ({ log: ["quick"], total: 2, most: 3 }))
      .addNode("after", ({ last }) => ({ log: [last], last: "after" }))
      .addEdge(START, "slow")
      .addEdge(START, "quick")
      .addEdge(["slow", "quick"], "after")
      .addEdge("after", END)
      .compile();
    const { output } = await graph.invoke({ log: ["begin"] });
    expect(output).toEqual({
      log: ["begin", "slow", "quick", "none"],
      total: 3,
      most: 7,
      last: "after",
    });
  });

  test("messages are replaced and removed by id, and given one", async () => {
    const graph = new StateGraph({ messages: messages() })
      .addNode("talk", ({ messages: all }) => ({
        messages: [
          { id: "1", role: "user", content: "hello again" },
          removeMessage("2"),
          { role: "assistant", content: `${all.length} so far` },
        ],
      }))
      .addEdge(START, "talk")
      .addEdge("talk", END)
      .compile();
    const { output } = await graph.invoke({
      messages: [
        { id: "1", role: "user", content: "hello" },
        { id: "2", role: "user", content: "world" },
      ],
    });
    expect(output.messages).toEqual([
      { id: "1", role: "user", content: "hello again" },
      { id: expect.stringMatching(/^[0-9A-Z]{26}$/), role: "assistant", content: "2 so far" },
    ]);
  });

  test("two writes to an overwrite channel in one step fail the run, naming nodes and channel", async () => {
    const graph = new StateGraph({ text: z.string() })
      .addNode("a", () => ({ text: "a" }))
      .addNode("b", () => ({ text: "b" }))
      .addEdge(START, "a")
      .addEdge(START, "b")
      .addEdge("a", END)
      .addEdge("b", END)
      .compile();
    await expect(graph.invoke({})).rejects.toMatchObject({
      code: "INVALID_OUTPUT",
      message: expect.stringContaining("Nodes a and b wrote channel text in step 1"),
      details: { channel: "text", nodes: ["a", "b"] },
    });
  });

  test("so does a node that is sent to twice", async () => {
    const graph = new StateGraph({ text: z.string() })
      .addNode("each", (input: unknown) => ({ text: String(input) }))
      .addConditionalEdges(START, () => [new Send("each", 1), new Send("each", 2)], ["each"])
      .addEdge("each", END)
      .compile();
    await expect(graph.invoke({})).rejects.toThrow("Node each, twice, wrote channel text");
  });

  test.each([
    ["a value that the schema does not take", { text: 5 }, "Node a: channel text does not take it"],
    ["a channel that does not exist", { typo: 5 }, "there is no channel typo"],
    ["no object", "text", "an object of updates by channel is needed"],
  ])("a node that returns %s fails, and says so", async (_, returned, message) => {
    const graph = new StateGraph({ text: z.string() })
      .addNode("a", () => returned as object)
      .addEdge(START, "a")
      .addEdge("a", END)
      .compile();
    await expect(graph.invoke({})).rejects.toMatchObject({
      code: "INVALID_OUTPUT",
      message: expect.stringContaining(message),
    });
  });

  test("a reducer that throws fails the run, and its channel is named", async () => {
    const graph = new StateGraph({
      bad: reduced(z.number(), {
        initial: () => 0,
        reducer: () => {
          throw new Error("no");
        },
      }),
    })
      .addNode("a", () => ({ bad: 1 }))
      .addEdge(START, "a")
      .addEdge("a", END)
      .compile();
    await expect(graph.invoke({})).rejects.toThrow("The reducer of channel bad threw Error: no");
  });
});

describe("schemas", () => {
  const graph = new StateGraph(
    { question: z.string(), notes: append(z.string()), answer: z.string() },
    {
      input: z.object({ question: z.string().min(1) }),
      output: z.object({ answer: z.string() }),
    },
  )
    .addNode("think", ({ question }) => ({ notes: [question.toUpperCase()] }))
    .addNode("say", ({ notes }) => ({ answer: notes.join() }))
    .addEdge(START, "think")
    .addEdge("think", "say")
    .addEdge("say", END)
    .compile();

  test("of input and output are the graph's face; what is between stays inside", async () => {
    expect((await graph.invoke({ question: "why" })).output).toEqual({ answer: "WHY" });
  });

  test("refuse an input that does not match, before anything runs", async () => {
    await expect(graph.invoke({ question: "" })).rejects.toMatchObject({ code: "INVALID_INPUT" });
    await expect(graph.invoke({} as never)).rejects.toMatchObject({ code: "INVALID_INPUT" });
  });

  test("narrow what a node sees, and check what is sent to it", async () => {
    const seen: unknown[] = [];
    const sends = new StateGraph({ a: z.number(), b: z.number() })
      .addNode("plan", () => ({}))
      .addNode("narrow", (input) => void seen.push(input), { input: z.object({ a: z.number() }) })
      .addConditionalEdges("plan", ({ b }) => (b > 1 ? new Send("narrow", { a: "x" }) : "narrow"), [
        "narrow",
      ])
      .addEdge(START, "plan")
      .addEdge("narrow", END)
      .compile();
    await sends.invoke({ a: 1, b: 1 });
    expect(seen).toEqual([{ a: 1 }]);
    await expect(sends.invoke({ a: 1, b: 2 })).rejects.toMatchObject({
      code: "INVALID_INPUT",
      message: expect.stringContaining("Node narrow"),
    });
  });
});

test("private channels are seen by their node alone, and last as long as the thread", async () => {
  const seen: unknown[] = [];
  const graph = new StateGraph({ log: append(z.string()) })
    .addNode(
      "agent",
      ({ scratch, log }) => ({ scratch: [`thought ${scratch.length}`], log: [`${log.length}`] }),
      { private: { scratch: append(z.string()) } },
    )
    .addNode("other", (state) => void seen.push(state))
    .addEdge(START, "agent")
    .addEdge("agent", "other")
    .addEdge("other", END)
    .compile({ checkpointer: new MemoryCheckpointer() });
  await graph.invoke({}, { thread: "t" });
  const { output } = await graph.invoke({}, { thread: "t" });
  expect(seen).toEqual([{ log: ["0"] }, { log: ["0", "1"] }]);
  expect(output).toEqual({ log: ["0", "1"] });
  expect((await graph.getState("t")).values).toEqual({ log: ["0", "1"] });
  await expect(
    new StateGraph({ log: append(z.string()) })
      .addNode("agent", () => ({}), { private: { scratch: append(z.string()) } })
      .addNode("thief", () => ({ "agent.scratch": ["mine"] }) as object)
      .addEdge(START, "agent")
      .addEdge("agent", "thief")
      .addEdge("thief", END)
      .compile()
      .invoke({}),
  ).rejects.toThrow("there is no channel agent.scratch");
});

test("a node cannot change the state but by what it returns", async () => {
  const graph = new StateGraph({ text: z.string() })
    .addNode("a", (state) => {
      (state as { text: string }).text = "changed";
    })
    .addEdge(START, "a")
    .addEdge("a", END)
    .compile();
  expect((await graph.invoke({ text: "as it was" })).output).toEqual({ text: "as it was" });
});

describe("a subgraph", () => {
  const research = new StateGraph(
    { topic: z.string(), found: append(z.string()) },
    { input: z.object({ topic: z.string() }), output: z.object({ found: z.array(z.string()) }) },
  )
    .addNode("search", ({ topic }) => ({ found: [`about ${topic}`] }))
    .addNode("read", ({ found }) => ({ found: [`read ${found.length}`] }))
    .addEdge(START, "search")
    .addEdge("search", "read")
    .addEdge("read", END)
    .compile();

  test("has channels of its own; what passes is mapped in and out", async () => {
    const graph = new StateGraph({ title: z.string(), text: append(z.string()) })
      .addSubgraph("research", research, {
        map: ({ title }) => ({ topic: title }),
        merge: ({ found }, { title }) => ({ text: [title, ...found] }),
      })
      .addEdge(START, "research")
      .addEdge("research", END)
      .compile();
    expect((await graph.invoke({ title: "cats" })).output.text).toEqual([
      "cats",
      "about cats",
      "read 1",
    ]);
  });

  test("may be sent to, as often as one likes", async () => {
    const graph = new StateGraph({ text: append(z.string()) })
      .addSubgraph("research", research, {
        map: (topic: unknown) => ({ topic: topic as string }),
        merge: ({ found }) => ({ text: [...found] }),
        concurrency: 2,
      })
      .addConditionalEdges(
        START,
        () => ["a", "b", "c"].map((topic) => new Send("research", topic)),
        ["research"],
      )
      .addEdge("research", END)
      .compile();
    const { output } = await graph.invoke({});
    expect(output.text).toEqual(["about a", "read 1", "about b", "read 1", "about c", "read 1"]);
  });

  test("that fails fails the node, which may tolerate it", async () => {
    const failing = new StateGraph({})
      .addNode("bad", () => {
        throw new Error("no luck");
      })
      .addEdge(START, "bad")
      .addEdge("bad", END)
      .compile();
    const build = (tolerant: boolean) =>
      new StateGraph({ text: z.string() })
        .addSubgraph("inner", failing, {
          map: () => ({}),
          merge: () => ({ text: "well" }),
          ...(tolerant
            ? { failures: { instead: (error: Error) => ({ text: error.message }) } }
            : {}),
        })
        .addEdge(START, "inner")
        .addEdge("inner", END)
        .compile();
    await expect(build(false).invoke({})).rejects.toThrow("Node bad: Error: no luck");
    const { output } = await build(true).invoke({});
    expect(output.text).toContain("Error: no luck");
  });
});

test("a command updates the state and says who goes on, in addition to the edges", async () => {
  const graph = new StateGraph({ log: append(z.string()) })
    .addNode("front", () => new Command({ goto: ["billing", END], update: { log: ["front"] } }), {
      ends: ["billing", END],
    })
    .addNode("billing", ({ log }) => ({ log: [`billing after ${log.join()}`] }))
    .addNode("audit", () => ({ log: ["audit"] }))
    .addEdge(START, "front")
    .addEdge("front", "audit")
    .addEdge("audit", END)
    .addEdge("billing", END)
    .compile();
  expect((await graph.invoke({})).output.log).toEqual(["front", "audit", "billing after front"]);
});

test("a command that leads where its node may not go fails the node", async () => {
  const graph = new StateGraph({ log: append(z.string()) })
    .addNode("front", () => new Command({ goto: "back" }))
    .addNode("back", () => ({}))
    .addEdge(START, "front")
    .addEdge("front", "back")
    .addEdge("back", END)
    .compile();
  await expect(graph.invoke({})).rejects.toMatchObject({
    code: "INVALID_OUTPUT",
    message: "Node front leads to back, which is not among its ends.",
  });
});
