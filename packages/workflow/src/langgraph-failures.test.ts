import { END, MemorySaver, START, StateGraph, interrupt } from "@langchain/langgraph";
import { MeshError } from "@plexus/core";
import { describe, expect, test } from "vitest";
import { fired, gate, useMeshes } from "../../../test/support/mesh.ts";
import { State, asking, drafting, hosted } from "../../../test/support/writer.ts";

/* What goes wrong in real graphs of @langchain/langgraph, and what their callers are told. */

const meshes = useMeshes();

const code = (expected: string, details: object = {}) =>
  expect.objectContaining({ code: expected, details: expect.objectContaining(details) });

describe("failures", () => {
  test("a caller that gives up ends the run: its node's signal fires", async () => {
    const begun = gate();
    const ended = Promise.withResolvers<unknown>();
    const graph = drafting(async (_, { signal }) => {
      begun.open();
      ended.resolve(await fired(signal!));
      throw signal!.reason;
    }, new MemorySaver());
    const { writer } = await hosted(meshes, graph);
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
    const { writer } = await hosted(meshes, graph);
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

  test("a node that fails behind an answer goes on, and is not asked again", async () => {
    let broken = true;
    const graph = drafting(() => {
      const verdict = String(interrupt("Publish?"));
      if (broken) throw new RangeError("no printer");
      return { verdict };
    }, new MemorySaver());
    const { writer } = await hosted(meshes, graph);
    await writer.invoke({ input: { topic: "x" }, thread: "t" });
    const answered = writer.resume({ thread: "t", resume: "yes" });
    await expect(answered).rejects.toThrow(code("AGENT_FAILED", { node: "review" }));
    broken = false;
    expect(await writer.getState({ thread: "t" })).toMatchObject({ next: ["review"] });
    expect(await writer.resume({ thread: "t" })).toMatchObject({ output: { verdict: "yes" } });
  });

  test("a MeshError of a node passes as it is", async () => {
    const graph = drafting(() => {
      throw new MeshError("BUDGET_EXCEEDED", "No money left.", { details: { left: 0 } });
    });
    const { writer } = await hosted(meshes, graph);
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
    const { writer } = await hosted(meshes, graph, { recursionLimit: 7 });
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
    const { writer } = await hosted(meshes, clash);
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
    const { writer } = await hosted(meshes, graph);
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
    const { writer } = await hosted(
      meshes,
      drafting(() => ({ verdict: "" })),
    );
    await expect(writer.resume({ thread: "t", resume: 1 })).rejects.toThrow(code("NO_CAPABILITY"));
  });

  test("a thread that is not known is NO_RUN", async () => {
    const { writer } = await hosted(meshes, drafting(asking, new MemorySaver()));
    await expect(writer.getState({ thread: "none" })).rejects.toThrow(
      expect.objectContaining({ code: "NO_RUN" }),
    );
    await expect(writer.resume({ thread: "none", resume: 1 })).rejects.toThrow(code("NO_RUN"));
  });

  test("a node that takes too long is TIMEOUT, and its writes are dropped", async () => {
    const graph = new StateGraph(State)
      .addNode("slow", async (_, { signal }) => ({ verdict: String(await fired(signal)) }), {
        timeout: 20,
      })
      .addEdge(START, "slow")
      .addEdge("slow", END)
      .compile({ checkpointer: new MemorySaver() });
    const { writer } = await hosted(meshes, graph);
    await expect(writer.invoke({ input: { topic: "x" }, thread: "t" })).rejects.toThrow(
      code("TIMEOUT", { thread: "t", node: "slow" }),
    );
    expect((await writer.getState({ thread: "t" })).values).not.toHaveProperty("verdict");
  });

  test("a graph that asks and has no checkpointer is INVALID_CONTRACT", async () => {
    const { writer } = await hosted(meshes, drafting(asking));
    await expect(writer.invoke({ input: { topic: "x" }, thread: "t" })).rejects.toThrow(
      expect.objectContaining({
        code: "INVALID_CONTRACT",
        message: "No checkpointer set",
        details: { thread: "t", langgraph: "MISSING_CHECKPOINTER" },
      }),
    );
  });
});
