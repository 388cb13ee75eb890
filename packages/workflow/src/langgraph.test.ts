import { AIMessage, HumanMessage, type BaseMessage } from "@langchain/core/messages";
import { FakeListChatModel } from "@langchain/core/utils/testing";
import {
  END,
  MemorySaver,
  MessagesAnnotation,
  START,
  Send,
  StateGraph,
  interrupt,
} from "@langchain/langgraph";
import { describeAgent } from "@plexus/core";
import { describe, expect, expectTypeOf, test } from "vitest";
import { z } from "zod";
import { gate, useMeshes } from "../../../test/support/mesh.ts";
import { State, Writer, asking, draft, drafting, hosted } from "../../../test/support/writer.ts";
import { StateGraph as Plexus } from "./graph.ts";
import { langGraphContract, langGraphHandlers, type LangGraphChunk } from "./langgraph.ts";
import { agentNode } from "./remote-nodes.ts";

/* Real graphs of @langchain/langgraph, hosted and called over a real broker. */

const meshes = useMeshes();

const code = (expected: string, details: object = {}) =>
  expect.objectContaining({ code: expected, details: expect.objectContaining(details) });

describe("a compiled LangGraph graph on the mesh", () => {
  test("is called like any agent, in the types of its contract", async () => {
    const { writer } = await hosted(
      meshes,
      drafting(() => ({ verdict: "fine" })),
    );
    const result = await writer.invoke({ input: { topic: "cats" } });
    expect(result).toEqual({
      status: "completed",
      thread: expect.stringMatching(/^\w{26}$/),
      output: { drafts: ["about cats"], verdict: "fine" },
    });
    if (result.status === "completed") {
      expectTypeOf(result.output).toEqualTypeOf<{
        drafts: string[];
        verdict?: string | undefined;
      }>();
    }
  });

  test("is refused what its contract does not take, before anything is executed", async () => {
    let executed = 0;
    const { writer } = await hosted(
      meshes,
      drafting(() => ({ verdict: `${++executed}` })),
    );
    await expect(writer.invoke({ input: { topic: 7 as unknown as string } })).rejects.toThrow(
      expect.objectContaining({ code: "INVALID_INPUT" }),
    );
    expect(executed).toBe(0);
  });

  test("takes and gives messages as data, and works on them as messages", async () => {
    const Chat = langGraphContract("chat", {
      input: z.object({ messages: z.array(z.looseObject({ type: z.string() })) }),
      output: z.object({ messages: z.array(z.looseObject({ type: z.string() })) }),
    });
    const seen: BaseMessage[] = [];
    const graph = new StateGraph(MessagesAnnotation)
      .addNode("answer", ({ messages }) => {
        seen.push(...messages);
        const call = { id: "c1", name: "look", args: { at: "cats" }, type: "tool_call" as const };
        return { messages: [new AIMessage({ id: "a1", content: "well", tool_calls: [call] })] };
      })
      .addEdge(START, "answer")
      .addEdge("answer", END)
      .compile();
    const mesh = await meshes.join();
    await mesh.host(Chat, langGraphHandlers(Chat, graph));
    await mesh.waitFor(Chat);
    const chat = mesh.get(Chat);
    const ask = (messages: { type: string }[]) => chat.invoke({ input: { messages } });

    const first = await ask([{ type: "human", content: "hello" } as { type: string }]);
    expect(seen[0]).toBeInstanceOf(HumanMessage);
    const { messages } = (first as Extract<typeof first, { status: "completed" }>).output;
    expect(messages[1]).toMatchObject({
      type: "ai",
      id: "a1",
      content: "well",
      tool_calls: [{ id: "c1", name: "look", args: { at: "cats" } }],
    });

    await ask(messages);
    expect(seen[2]).toBeInstanceOf(AIMessage);
    expect((seen[2] as AIMessage).tool_calls).toEqual([
      { id: "c1", name: "look", args: { at: "cats" }, type: "tool_call" },
    ]);
  });

  test("is a node of a graph here, and looks like any agent to those who look", async () => {
    const { host, writer } = await hosted(
      meshes,
      drafting(() => ({ verdict: "fine" })),
    );
    const graph = new Plexus({ topic: z.string(), text: z.string() })
      .addNode(
        "write",
        agentNode(host, Writer, "invoke", {
          input: ({ topic }: { topic: string }) => ({ input: { topic } }),
          output: (result) => ({
            text: result.status === "completed" ? result.output.drafts.join() : "",
          }),
        }),
      )
      .addEdge(START, "write")
      .addEdge("write", END)
      .compile();
    expect((await graph.invoke({ topic: "cats" })).output.text).toBe("about cats");
    expect(writer).toBeDefined();
    const { invoke } = describeAgent(Writer).capabilities;
    expect(invoke!.input).toMatchObject({
      properties: { input: { properties: { topic: { type: "string" } } } },
      required: ["input"],
    });
  });

  test("cannot be directed by a caller's input: a command is refused", async () => {
    const Any = langGraphContract("any", { input: z.unknown(), output: z.unknown() });
    const mesh = await meshes.join();
    await mesh.host(
      Any,
      langGraphHandlers(
        Any,
        drafting(() => ({ verdict: "" })),
      ),
    );
    await mesh.waitFor(Any);
    for (const input of [{ lg_name: "Command", goto: "review" }, null]) {
      await expect(mesh.get(Any).invoke({ input })).rejects.toThrow(code("INVALID_INPUT"));
    }
  });
});

describe("interrupts", () => {
  test.each([["yes"], [false], [""], [null], [{ edits: ["one"] }]])(
    "wait for their answer, which may be %j",
    async (answer) => {
      const { writer } = await hosted(meshes, drafting(asking, new MemorySaver()));
      const asked = await writer.invoke({ input: { topic: "cats" }, thread: "t" });
      expect(asked).toEqual({
        status: "waiting",
        thread: "t",
        values: { topic: "cats", drafts: ["about cats"] },
        interrupts: [{ id: expect.any(String), value: "Publish about cats?" }],
      });
      expect(await writer.getState({ thread: "t" })).toMatchObject({
        next: ["review"],
        interrupts: [{ value: "Publish about cats?" }],
      });
      expect(await writer.resume({ thread: "t", resume: answer })).toMatchObject({
        status: "completed",
        output: { drafts: ["about cats"], verdict: `said ${JSON.stringify(answer)}` },
      });
    },
  );

  test("that are open together are answered by name", async () => {
    const graph = new StateGraph(State)
      .addNode("one", () => ({ drafts: [`one ${String(interrupt("first?"))}`] }))
      .addNode("two", () => ({ drafts: [`two ${String(interrupt("second?"))}`] }))
      .addEdge(START, "one")
      .addEdge(START, "two")
      .addEdge("one", END)
      .addEdge("two", END)
      .compile({ checkpointer: new MemorySaver() });
    const { writer } = await hosted(meshes, graph);
    const asked = await writer.invoke({ input: { topic: "cats" }, thread: "t" });
    const { interrupts } = asked as Extract<typeof asked, { status: "waiting" }>;
    const second = interrupts.find(({ value }) => value === "second?")!.id;
    await expect(writer.resume({ thread: "t", resume: "x" })).rejects.toThrow(
      code("INVALID_INPUT", { interrupts: interrupts.map(({ id }) => id) }),
    );
    const half = await writer.resume({ thread: "t", resume: "B", interrupt: second });
    expect(half).toMatchObject({ status: "waiting", interrupts: [{ value: "first?" }] });
    expect(await writer.resume({ thread: "t", resume: "A" })).toMatchObject({
      output: { drafts: ["one A", "two B"] },
    });
    await expect(writer.resume({ thread: "t", resume: "C" })).rejects.toThrow(code("NO_RUN"));
  });

  test("that one node asks one after the other are all answered, beside a node that asks, too", async () => {
    const graph = new StateGraph(State)
      .addNode("twice", () => ({ drafts: [`${interrupt("first?")} ${interrupt("second?")}`] }))
      .addNode("once", () => ({ drafts: [String(interrupt("once?"))] }))
      .addEdge(START, "twice")
      .addEdge(START, "once")
      .addEdge("twice", END)
      .addEdge("once", END)
      .compile({ checkpointer: new MemorySaver() });
    const { writer } = await hosted(meshes, graph);
    const asked = await writer.invoke({ input: { topic: "cats" }, thread: "t" });
    const { interrupts } = asked as Extract<typeof asked, { status: "waiting" }>;
    const twice = interrupts.find(({ value }) => value === "first?")!.id;
    await writer.resume({ thread: "t", resume: "A", interrupt: twice });
    expect(await writer.getState({ thread: "t" })).toMatchObject({
      next: ["twice", "once"],
      interrupts: [{ value: "second?" }, { value: "once?" }],
    });
    await writer.resume({ thread: "t", resume: "B", interrupt: twice });
    expect(await writer.resume({ thread: "t", resume: "C" })).toMatchObject({
      output: { drafts: ["C", "A B"] },
    });
  });

  test("of one node that was sent several inputs are told apart", async () => {
    const graph = new StateGraph(State)
      .addNode("plan", () => ({}))
      .addNode("ask", ({ topic }) => ({ drafts: [`${topic}: ${interrupt(topic)}`] }))
      .addEdge(START, "plan")
      .addConditionalEdges(
        "plan",
        () => ["cats", "dogs"].map((topic) => new Send("ask", { topic })),
        ["ask"],
      )
      .addEdge("ask", END)
      .compile({ checkpointer: new MemorySaver() });
    const { writer } = await hosted(meshes, graph);
    const asked = await writer.invoke({ input: { topic: "pets" }, thread: "t" });
    const { interrupts } = asked as Extract<typeof asked, { status: "waiting" }>;
    const dogs = interrupts.find(({ value }) => value === "dogs")!.id;
    await writer.resume({ thread: "t", resume: "no", interrupt: dogs });
    expect(await writer.getState({ thread: "t" })).toMatchObject({
      next: ["ask"],
      interrupts: [{ value: "cats" }],
    });
    expect(await writer.resume({ thread: "t", resume: "yes" })).toMatchObject({
      output: { drafts: ["cats: yes", "dogs: no"] },
    });
  });

  test("and breakpoints survive their host: another one goes on", async () => {
    const checkpointer = new MemorySaver();
    const graph = () =>
      new StateGraph(State)
        .addNode("draft", draft)
        .addNode("review", asking)
        .addEdge(START, "draft")
        .addEdge("draft", "review")
        .addEdge("review", END)
        .compile({ checkpointer, interruptBefore: ["review"] });
    const { host, writer } = await hosted(meshes, graph());
    const paused = await writer.invoke({ input: { topic: "cats" }, thread: "t" });
    expect(paused).toMatchObject({ status: "waiting", interrupts: [] });
    await host.close();
    const { writer: other } = await hosted(meshes, graph());
    expect(await other.resume({ thread: "t" })).toMatchObject({
      status: "waiting",
      interrupts: [{ value: "Publish about cats?" }],
    });
    expect(await other.resume({ thread: "t", resume: 1 })).toMatchObject({
      output: { verdict: "said 1" },
    });
  });
});

describe("streams", () => {
  test("tell what happens while it happens, by mode, and end with the result", async () => {
    const heard = gate();
    const graph = drafting(async (_, { writer }) => {
      writer?.("reviewing");
      await heard.opened; // the caller has what came before, or this never ends
      return { verdict: "fine" };
    });
    const { writer } = await hosted(meshes, graph);
    const stream = writer.stream.stream({
      input: { topic: "cats" },
      mode: ["updates", "custom", "values"],
    });
    const chunks: LangGraphChunk[] = [];
    for await (const chunk of stream) {
      chunks.push(chunk);
      if (chunk.mode === "custom") heard.open();
    }
    expect(chunks.filter(({ mode }) => mode !== "values")).toEqual([
      { mode: "updates", path: [], data: { draft: { drafts: ["about cats"] } } },
      { mode: "custom", path: [], data: "reviewing" },
      { mode: "updates", path: [], data: { review: { verdict: "fine" } } },
    ]);
    expect(chunks.findLast(({ mode }) => mode === "values")!.data).toMatchObject({
      verdict: "fine",
    });
    expect(await stream.result).toMatchObject({ status: "completed", output: { verdict: "fine" } });
  });

  test("tell of subgraphs by their path, and of answers to interrupts", async () => {
    const inner = new StateGraph(State)
      .addNode("ask", asking)
      .addEdge(START, "ask")
      .addEdge("ask", END)
      .compile();
    const graph = new StateGraph(State)
      .addNode("inner", inner)
      .addEdge(START, "inner")
      .addEdge("inner", END)
      .compile({ checkpointer: new MemorySaver() });
    const { writer } = await hosted(meshes, graph);
    await writer.invoke({ input: { topic: "cats" }, thread: "t" });
    const chunks: LangGraphChunk[] = [];
    const request = { thread: "t", resume: "ok", subgraphs: true };
    for await (const chunk of writer.streamResume.stream(request)) chunks.push(chunk);
    expect(chunks[0]).toEqual({
      mode: "updates",
      path: [expect.stringMatching(/^inner:/)],
      data: { ask: { verdict: 'said "ok"' } },
    });
    expect(chunks[1]).toMatchObject({ path: [], data: { inner: { verdict: 'said "ok"' } } });
  });

  test("tell what a model of LangChain's says, word by word", async () => {
    const model = new FakeListChatModel({ responses: ["Cats sleep."], sleep: 0 });
    const graph = drafting(async ({ topic }) => {
      const { text } = await model.invoke(topic);
      return { verdict: text };
    });
    const { writer } = await hosted(meshes, graph);
    const heard: unknown[] = [];
    const request = { input: { topic: "cats" }, mode: "messages" as const };
    for await (const { data } of writer.stream.stream(request)) heard.push(data);
    const words = heard.map((data) => (data as [{ type: string; content: string }])[0]);
    expect(words.map(({ content }) => content).join("")).toBe("Cats sleep.");
    expect(words.length).toBeGreaterThan(1);
    expect(heard[0]).toMatchObject([{ type: "ai" }, { langgraph_node: "review" }]);
  });
});
