import { AIMessage, HumanMessage, type BaseMessage } from "@langchain/core/messages";
import {
  Annotation,
  END,
  MemorySaver,
  MessagesAnnotation,
  START,
  StateGraph,
  interrupt,
  type LangGraphRunnableConfig,
} from "@langchain/langgraph";
import { MeshError } from "@plexus/core";
import { describe, expect, expectTypeOf, test } from "vitest";
import { z } from "zod";
import { fired, gate, useMeshes } from "../../../test/support/mesh.ts";
import {
  langGraphContract,
  langGraphHandlers,
  type LangGraph,
  type LangGraphChunk,
  type LangGraphOptions,
} from "./langgraph.ts";

/* Real graphs of @langchain/langgraph, hosted and called over a real broker. */

const meshes = useMeshes();

const Writer = langGraphContract("writer", {
  input: z.object({ topic: z.string(), drafts: z.array(z.string()).optional() }),
  output: z.object({ drafts: z.array(z.string()), verdict: z.string().optional() }),
});

const State = Annotation.Root({
  topic: Annotation<string>,
  drafts: Annotation<string[]>({ reducer: (a, b) => [...a, ...b], default: () => [] }),
  verdict: Annotation<string>,
});
type Node = (
  state: typeof State.State,
  config: LangGraphRunnableConfig,
) => Partial<typeof State.State> | Promise<Partial<typeof State.State>>;

const draft: Node = ({ topic }) => ({ drafts: [`about ${topic}`] });

/** A graph that drafts, and then does what the test says. */
function drafting(then: Node, checkpointer?: MemorySaver) {
  return new StateGraph(State)
    .addNode("draft", draft)
    .addNode("review", then)
    .addEdge(START, "draft")
    .addEdge("draft", "review")
    .addEdge("review", END)
    .compile(checkpointer ? { checkpointer } : {});
}

const asking: Node = ({ drafts }) => ({
  verdict: `said ${JSON.stringify(interrupt(`Publish ${drafts.join()}?`))}`,
});

async function hosted(graph: LangGraph, options: LangGraphOptions = {}) {
  const host = await meshes.join({ name: "host" });
  await host.host(Writer, langGraphHandlers(Writer, graph, options));
  const caller = await meshes.join({ name: "caller" });
  await caller.waitFor(Writer);
  return { host, writer: caller.get(Writer) };
}

const code = (expected: string, details: object = {}) =>
  expect.objectContaining({ code: expected, details: expect.objectContaining(details) });

describe("a compiled LangGraph graph on the mesh", () => {
  test("is called like any agent, in the types of its contract", async () => {
    const { writer } = await hosted(drafting(() => ({ verdict: "fine" })));
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
    const { writer } = await hosted(drafting(() => ({ verdict: `${++executed}` })));
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
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      await expect(mesh.get(Any).invoke({ input })).rejects.toThrow(code("INVALID_INPUT"));
    }
  });
});

describe("interrupts", () => {
  test.each([["yes"], [false], [""], [null], [{ edits: ["one"] }]])(
    "wait for their answer, which may be %j",
    async (answer) => {
      const { writer } = await hosted(drafting(asking, new MemorySaver()));
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
    const { writer } = await hosted(graph);
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
    const { host, writer } = await hosted(graph());
    const paused = await writer.invoke({ input: { topic: "cats" }, thread: "t" });
    expect(paused).toMatchObject({ status: "waiting", interrupts: [] });
    await host.close();
    const { writer: other } = await hosted(graph());
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
    const { writer } = await hosted(graph);
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
    const { writer } = await hosted(graph);
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
});

describe("failures", () => {
  test("a caller that gives up ends the run: its node's signal fires", async () => {
    const begun = gate();
    const ended = Promise.withResolvers<unknown>();
    const graph = drafting(async (_, { signal }) => {
      begun.open();
      ended.resolve(await fired(signal!));
      throw signal!.reason;
    }, new MemorySaver());
    const { writer } = await hosted(graph);
    const caller = new AbortController();
    const call = writer.invoke({ input: { topic: "x" }, thread: "t" }, { signal: caller.signal });
    await begun.opened;
    caller.abort();
    await expect(call).rejects.toThrow(expect.objectContaining({ code: "CANCELED" }));
    await ended.promise;
    await expect.poll(() => writer.getState({ thread: "t" })).toMatchObject({ next: ["review"] });
  });

  test("a node's error names node and thread, and the run goes on there, repeating nothing", async () => {
    const executed = { draft: 0, review: 0 };
    const graph = new StateGraph(State)
      .addNode("draft", () => ({ drafts: [`draft ${++executed.draft}`] }))
      .addNode("review", () => {
        if (++executed.review === 1) throw new RangeError("too long");
        return { verdict: "fine" };
      })
      .addEdge(START, "draft")
      .addEdge("draft", "review")
      .addEdge("review", END)
      .compile({ checkpointer: new MemorySaver() });
    const { writer } = await hosted(graph);
    await expect(writer.invoke({ input: { topic: "x" }, thread: "t" })).rejects.toThrow(
      expect.objectContaining({
        code: "AGENT_FAILED",
        message: "Node review: RangeError: too long",
        details: { thread: "t", node: "review" },
      }),
    );
    expect(await writer.resume({ thread: "t" })).toMatchObject({
      output: { drafts: ["draft 1"], verdict: "fine" },
    });
    expect(executed).toEqual({ draft: 1, review: 2 });
    await expect(writer.resume({ thread: "t" })).rejects.toThrow(code("NO_RUN"));
  });

  test("a MeshError of a node passes as it is", async () => {
    const graph = drafting(() => {
      throw new MeshError("BUDGET_EXCEEDED", "No money left.", { details: { left: 0 } });
    });
    const { writer } = await hosted(graph);
    await expect(writer.invoke({ input: { topic: "x" }, thread: "t" })).rejects.toThrow(
      code("BUDGET_EXCEEDED", { left: 0, thread: "t" }),
    );
  });

  test("a graph that does not end is STEP_LIMIT, and a caller cannot raise its host's limit", async () => {
    let steps = 0;
    const graph = new StateGraph(State)
      .addNode("again", () => ({ drafts: [`${++steps}`] }))
      .addEdge(START, "again")
      .addEdge("again", "again")
      .compile();
    const { writer } = await hosted(graph, { recursionLimit: 7 });
    const run = { input: { topic: "x" } };
    await expect(writer.invoke({ ...run, recursionLimit: 100 })).rejects.toThrow(
      code("STEP_LIMIT", { langgraph: "GRAPH_RECURSION_LIMIT" }),
    );
    expect(steps).toBe(7);
    await expect(writer.invoke({ ...run, recursionLimit: 3 })).rejects.toThrow(code("STEP_LIMIT"));
    expect(steps).toBe(10);
  });

  test("two nodes that write one value are INVALID_OUTPUT", async () => {
    const clash = new StateGraph(State)
      .addNode("a", () => ({ verdict: "a" }))
      .addNode("b", () => ({ verdict: "b" }))
      .addEdge(START, "a")
      .addEdge(START, "b")
      .addEdge("a", END)
      .addEdge("b", END)
      .compile();
    const { writer } = await hosted(clash);
    await expect(writer.invoke({ input: { topic: "x" } })).rejects.toThrow(
      code("INVALID_OUTPUT", { langgraph: "INVALID_CONCURRENT_GRAPH_UPDATE" }),
    );
  });

  test("a second call on a thread is refused while the first is under way", async () => {
    const begun = gate();
    const release = gate();
    const graph = drafting(async () => {
      begun.open();
      await release.opened;
      return { verdict: "fine" };
    }, new MemorySaver());
    const { writer } = await hosted(graph);
    const first = writer.invoke({ input: { topic: "cats" }, thread: "t" });
    await begun.opened;
    await expect(writer.invoke({ input: { topic: "dogs" }, thread: "t" })).rejects.toThrow(
      code("CONFLICT"),
    );
    release.open();
    expect(await first).toMatchObject({ output: { drafts: ["about cats"] } });
    expect(await writer.invoke({ input: { topic: "dogs" }, thread: "t" })).toMatchObject({
      output: { drafts: ["about cats", "about dogs"] },
    });
  });

  test("what a graph without a checkpointer cannot do is NO_CAPABILITY", async () => {
    const { writer } = await hosted(drafting(() => ({ verdict: "" })));
    await expect(writer.resume({ thread: "t", resume: 1 })).rejects.toThrow(code("NO_CAPABILITY"));
  });

  test("a thread that is not known is NO_RUN", async () => {
    const { writer } = await hosted(drafting(asking, new MemorySaver()));
    await expect(writer.getState({ thread: "none" })).rejects.toThrow(
      expect.objectContaining({ code: "NO_RUN" }),
    );
    await expect(writer.resume({ thread: "none", resume: 1 })).rejects.toThrow(code("NO_RUN"));
  });
});
