import { setTimeout as sleep } from "node:timers/promises";
import { MeshError } from "@plexus/core";
import {
  Command,
  END,
  START,
  StateGraph,
  append,
  hostGraph,
  remoteGraph,
  type CompileOptions,
  type NodeContext,
} from "@plexus/workflow";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { gate, upTo, useMeshes } from "../support/mesh.ts";

const meshes = useMeshes();
const LEASE = "1s";

/** One node, which does what the test says. */
const one = (name: string, run: (context: NodeContext) => unknown, options?: CompileOptions) =>
  new StateGraph({ log: append(z.string()) }, { name })
    .addNode("n", async (_, context) => {
      await run(context);
      return { log: ["n"] };
    })
    .addEdge(START, "n")
    .addEdge("n", END)
    .compile(options);

/** How many ended how. */
async function outcomes(calls: readonly Promise<{ status: string }>[]): Promise<object> {
  const found: Record<string, number> = {};
  for (const call of await Promise.allSettled(calls)) {
    const what = call.status === "fulfilled" ? call.value.status : (call.reason as MeshError).code;
    found[what] = (found[what] ?? 0) + 1;
  }
  return found;
}

test("a wrong answer and the right one at once leave every thread as the right one makes it", async () => {
  const [host, caller] = [await meshes.join(), await meshes.join()];
  const asks = new StateGraph({ log: append(z.string()) }, { name: "asks" })
    .addNode("ask", (_, context) => ({ log: [context.interrupt("?", z.string())] }))
    .addNode("then", () => ({ log: ["then"] }))
    .addEdge(START, "ask")
    .addEdge("ask", "then")
    .addEdge("then", END)
    .compile();
  await hostGraph(host, asks);
  const graph = remoteGraph(caller, asks);
  const threads = upTo(60).map((n) => `t${n}`);
  await Promise.all(threads.map((thread) => graph.invoke({}, { thread })));
  const wrong = threads.map((thread) =>
    graph.invoke(new Command({ resume: "x", interrupt: "9:9" }), {
      thread,
      interruptBefore: ["then"],
    }),
  );
  const right = threads.map((thread) => graph.invoke(new Command({ resume: "yes" }), { thread }));
  await Promise.allSettled(wrong);
  expect(await outcomes(right)).toEqual({ completed: 60 });
  const states = await Promise.all(threads.map((thread) => graph.getState(thread)));
  for (const { values } of states) expect(values).toEqual({ log: ["yes", "then"] });
});

test("who gives up cancels nobody else's run, and leaves the line", async () => {
  const [host, caller, other] = [await meshes.join(), await meshes.join(), await meshes.join()];
  const go = gate();
  const slow = one("slow", () => go.opened);
  await hostGraph(host, slow);
  const [alice, bob] = [remoteGraph(caller, slow), remoteGraph(other, slow)];
  const running = alice.invoke({ log: ["alice"] }, { thread: "t" });
  await expect
    .poll(async () => (await alice.getState("t").catch(() => undefined))?.next)
    .toEqual(["n"]);
  const aborted = { thread: "t", signal: AbortSignal.abort(new Error("bob")) };
  await expect(bob.invoke({ log: ["bob"] }, aborted)).rejects.toThrow("bob");
  const late = { thread: "t", busy: "enqueue", signal: AbortSignal.timeout(500) } as const;
  await expect(bob.invoke({ log: ["bob"] }, late)).rejects.toMatchObject({ code: "CANCELED" });
  go.open();
  expect((await running).output).toEqual({ log: ["alice", "n"] });
  expect((await alice.invoke({ log: ["next"] }, { thread: "t" })).output).toEqual({
    log: ["alice", "n", "next", "n"],
  });
});

test("inputs that wait for longer than a call does are executed once, in their turn", async () => {
  const [host, caller] = [await meshes.join(), await meshes.join()];
  let left = 13_000;
  const begun = gate();
  const slow = one("slow", async () => {
    begun.open();
    const ms = left;
    left = 0;
    await sleep(ms);
  });
  await hostGraph(host, slow);
  const graph = remoteGraph(caller, slow);
  const first = graph.invoke({ log: ["a"] }, { thread: "t" });
  await begun.opened;
  const second = await graph.invoke({ log: ["b"] }, { thread: "t", busy: "enqueue" });
  expect(second.output).toEqual({ log: ["a", "n", "b", "n"] });
  expect((await first).output).toEqual({ log: ["a", "n"] });
}, 90_000);

test("an input that waits where a thread was is not executed there when it has moved away and back", async () => {
  const [first, second, caller] = [await meshes.join(), await meshes.join(), await meshes.join()];
  const asks = one("asks", (context) => context.interrupt("?"));
  await hostGraph(first, asks, { lease: LEASE });
  const graph = remoteGraph(caller, asks);
  const threads = upTo(12).map((n) => `t${n}`);
  const each = <T>(work: (thread: string) => Promise<T>) => Promise.all(threads.map(work));
  await each((thread) => graph.invoke({ log: ["one"] }, { thread }));
  const waiting = threads.map((thread) =>
    graph.invoke({ log: ["two"] }, { thread, busy: "enqueue" }),
  );
  const owners = async () =>
    new Set((await caller.shards("workflow-asks")).map(({ owner }) => owner));
  const guest = await hostGraph(second, asks, { lease: LEASE, weight: 100 });
  await expect.poll(async () => [...(await owners())].length, { timeout: 30_000 }).toBeLessThan(3);
  await sleep(3_000);
  const answer = (thread: string) => graph.invoke(new Command({ resume: 1 }), { thread });
  await each(answer);
  expect(await outcomes(waiting)).toEqual({ waiting: 12 });
  await each(answer);
  await guest.drain();
  const third = await each((thread) =>
    graph.invoke({ log: ["three"] }, { thread, busy: "enqueue", timeout: "30s" }),
  );
  for (const { output } of third) {
    expect(output.log).toEqual(["one", "n", "two", "n", "three"]);
  }
}, 120_000);

describe("while it is yet to be decided where a run begins, another input", () => {
  test.each(["reject", "enqueue"] as const)("is not lost (%s)", async (busy) => {
    const [host, caller] = [await meshes.join(), await meshes.join()];
    const routed = new StateGraph({ log: append(z.string()) }, { name: "routed" })
      .addNode("n", () => ({ log: ["n"] }))
      .addConditionalEdges(START, async () => {
        await sleep(100);
        return "n";
      }, ["n"])
      .addEdge("n", END)
      .compile();
    await hostGraph(host, routed);
    const graph = remoteGraph(caller, routed);
    const calls = upTo(3).map((n) => graph.invoke({ log: [`in${n}`] }, { thread: "t", busy }));
    const executed = busy === "reject" ? 1 : 3;
    expect(await outcomes(calls)).toEqual({
      completed: executed,
      ...(busy === "reject" ? { CONFLICT: 2 } : {}),
    });
    const { values } = await graph.getState("t");
    expect((values["log"] as string[]).filter((entry) => entry === "n")).toHaveLength(executed);
  });
});

test("a failure that a node might have met on its way is told at once, and is not tried again", async () => {
  const [host, caller] = [await meshes.join(), await meshes.join()];
  let executed = 0;
  const failing = one("failing", () => {
    executed++;
    throw new MeshError("TIMEOUT", "the market did not answer");
  });
  await hostGraph(host, failing);
  const graph = remoteGraph(caller, failing);
  await expect(graph.invoke({}, { thread: "t", timeout: "20s" })).rejects.toMatchObject({
    code: "TIMEOUT",
    message: "Node n: the market did not answer",
  });
  expect(executed).toBe(1);
});

test("states of a thread at rest are changed one after the other, whoever looks at it meanwhile", async () => {
  const [host, caller] = [await meshes.join(), await meshes.join()];
  const quick = one("quick", () => {});
  await hostGraph(host, quick);
  const graph = remoteGraph(caller, quick);
  await graph.invoke({}, { thread: "t" });
  await Promise.all(upTo(10).map((n) => graph.updateState("t", { log: [`u${n}`] })));
  const { values } = await graph.getState("t");
  expect((values["log"] as string[]).toSorted()).toEqual(["n", ...upTo(10).map((n) => `u${n}`)]);
  await expect(graph.watch("nobody", { mode: "values" }).result).rejects.toMatchObject({
    code: "NO_RUN",
  });
});
