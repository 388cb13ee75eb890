import { startProxy } from "@plexus/testing";
import {
  Command,
  END,
  START,
  StateGraph,
  append,
  hostGraph,
  reduced,
  remoteGraph,
  sum,
  type NodeContext,
  type StreamItem,
} from "@plexus/workflow";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { fired, gate, inTurn, upTo, useMeshes } from "../support/mesh.ts";

const meshes = useMeshes();
const LEASE = "1s";

const steps = () =>
  new StateGraph({ log: append(z.string()), total: sum() }, { name: "steps" })
    .addNode("one", () => ({ log: ["one"], total: 1 }))
    .addNode("two", () => ({ log: ["two"], total: 2 }))
    .addEdge(START, "one")
    .addEdge("one", "two")
    .addEdge("two", END)
    .compile();

/** Two nodes, of which the second one does what the test says. */
const held = (second: (context: NodeContext) => Promise<unknown>, first = () => {}) =>
  new StateGraph({ log: append(z.string()) }, { name: "held" })
    .addNode("first", () => {
      first();
      return { log: ["first"] };
    })
    .addNode("second", async (_, context) => {
      await second(context);
      return { log: ["second"] };
    })
    .addEdge(START, "first")
    .addEdge("first", "second")
    .addEdge("second", END)
    .compile();

const release = new StateGraph(
  { text: z.string(), log: append(z.string()), verdict: z.string() },
  { name: "release" },
)
  .addNode("write", () => ({ log: ["written"] }), {
    compensate: () => void undone.push("write"),
  })
  .addNode("ask", ({ text }, context) => ({
    verdict: context.interrupt(`Release ${text}?`, z.enum(["yes", "no"])),
  }))
  .addNode("wait", (_, context) => ({ log: [context.waitFor<string>("market") ?? ""] }))
  .addEdge(START, "write")
  .addEdge("write", "ask")
  .addEdge("ask", "wait")
  .addEdge("wait", END)
  .compile();
const undone: string[] = [];

test("a graph that another process hosts is used as if it were here", async () => {
  const [host, caller] = [await meshes.join(), await meshes.join()];
  await using hosted = await hostGraph(host, steps());
  expect(hosted).toBeDefined();
  const graph = remoteGraph(caller, steps());
  const first = await graph.invoke({ log: ["zero"] }, { thread: "t" });
  expect(first).toMatchObject({
    status: "completed",
    output: { log: ["zero", "one", "two"], total: 3 },
  });
  const second = await graph.invoke({ log: ["again"] }, { thread: "t" });
  expect(second.output.total).toBe(6);
  expect((await graph.getState("t")).values).toEqual(second.output);
  expect(await remoteGraph(caller, "steps").getState("t")).toEqual(await graph.getState("t"));
  const history = await graph.getStateHistory("t");
  expect(history.length).toBeGreaterThanOrEqual(4);
  expect(await remoteGraph(caller, "steps").getStateHistory("t")).toEqual(history);
  await expect(graph.getState("unknown")).rejects.toMatchObject({ code: "NO_RUN" });
  const told = await collect(graph.replay("t", { mode: "updates" }));
  expect(told.map(({ node }) => node)).toEqual(["one", "two", "one", "two"]);
  expect((await graph.describe()).drawing).toContain("two");
});

test("threads are spread over all who host the graph, and one that drains hands its own over", async () => {
  const hosts = [await meshes.join(), await meshes.join(), await meshes.join()];
  const caller = await meshes.join();
  const executed = hosts.map(() => 0);
  const counting = (n: number) =>
    held(
      async () => {},
      () => void executed[n]!++,
    );
  const hosted = await Promise.all(
    hosts.map((mesh, n) => hostGraph(mesh, counting(n), { lease: LEASE })),
  );
  const graph = remoteGraph(caller, counting(0));
  await expect
    .poll(async () => {
      await Promise.all(upTo(32).map(() => graph.invoke({})));
      return executed.every((count) => count > 0);
    })
    .toBe(true);
  const lanes = upTo(16).map(() => inTurn(upTo(20), () => graph.invoke({})));
  await hosted[0]!.drain();
  await hosted[1]!.drain();
  await Promise.all(lanes);
  const before = executed[2]!;
  await graph.invoke({});
  expect(executed[2]).toBe(before + 1);
});

test("a human answers, a market speaks, and somebody cancels, each from wherever they are", async () => {
  const [host, caller, other] = [await meshes.join(), await meshes.join(), await meshes.join()];
  await hostGraph(host, release);
  const [here, there] = [remoteGraph(caller, release), remoteGraph(other, release)];
  const asked = await here.invoke({ text: "v1" }, { thread: "t" });
  expect(asked).toMatchObject({ status: "waiting", interrupts: [{ value: "Release v1?" }] });
  await expect(there.invoke({ text: "v2" }, { thread: "t" })).rejects.toMatchObject({
    code: "CONFLICT",
  });
  const wrong = await there.invoke(new Command({ resume: "perhaps" }), { thread: "t" });
  expect(wrong.interrupts[0]!.problem).toBeDefined();
  const answered = await there.invoke(new Command({ resume: "yes" }), { thread: "t" });
  expect(answered).toMatchObject({ status: "waiting", interrupts: [] });
  const told = await there.signal("t", "market", "up");
  expect(told).toMatchObject({ status: "completed", output: { verdict: "yes" } });
  expect(told.output.log).toEqual(["written", "up"]);

  await here.invoke({ text: "v3" }, { thread: "u" });
  expect(await there.cancel("u", "not now")).toBe(true);
  expect(undone).toEqual(["write"]);
  expect(await there.cancel("u")).toBe(false);
  await expect(there.signal("u", "market", "up")).rejects.toMatchObject({ code: "NO_RUN" });
  const fork = await here.fork("t", { to: "f" });
  expect((await there.getState(fork)).values).toEqual(told.output);
  await here.updateState("f", { text: "changed" });
  expect((await there.getState("f")).values["text"]).toBe("changed");
  await expect(here.fork("t", { to: "f" })).rejects.toMatchObject({ code: "CONFLICT" });
});

test("what a node has thrown arrives as what it was", async () => {
  const [host, caller] = [await meshes.join(), await meshes.join()];
  const failing = held(async () => {
    throw new Error("no luck");
  });
  await hostGraph(host, failing);
  const error = await remoteGraph(caller, failing)
    .invoke({}, { thread: "t" })
    .catch((e) => e);
  expect(error).toMatchObject({ code: "AGENT_FAILED", details: { thread: "t" } });
  expect(error.message).toContain("Node second: Error: no luck");
});

test("reducers of one's own are those of who hosts the graph, for whoever has its name alone", async () => {
  const [host, caller] = [await meshes.join(), await meshes.join()];
  const longest = reduced(z.string(), {
    initial: () => "",
    reducer: (value, update) => (update.length > value.length ? update : value),
  });
  const graph = new StateGraph({ word: longest }, { name: "longest" })
    .addNode("one", () => ({ word: "long" }))
    .addNode("two", () => ({ word: "no" }))
    .addEdge(START, "one")
    .addEdge("one", "two")
    .addEdge("two", END)
    .compile();
  await hostGraph(host, graph);
  const whole = remoteGraph(caller, graph);
  await whole.invoke({}, { thread: "t" });
  const named = remoteGraph(caller, "longest");
  expect((await named.getState("t")).values).toEqual({ word: "long" });
  expect(await named.getStateHistory("t")).toEqual(await whole.getStateHistory("t"));
});

test("who detaches waits no longer, and the run goes on", async () => {
  const [host, caller] = [await meshes.join(), await meshes.join()];
  const [begun, go] = [gate(), gate()];
  const slow = held(async () => {
    begun.open();
    await go.opened;
  });
  await hostGraph(host, slow);
  const graph = remoteGraph(caller, slow);
  const leaving = new AbortController();
  const running = graph.invoke({}, { thread: "t", id: "one", detach: leaving.signal });
  await begun.opened;
  leaving.abort();
  await expect(running).rejects.toMatchObject({ code: "CANCELED" });
  go.open();
  expect((await graph.invoke({}, { thread: "t", id: "one" })).output).toEqual({
    log: ["first", "second"],
  });
});

test("a call that is repeated with its id is carried out once, and has the same result", async () => {
  const [host, caller] = [await meshes.join(), await meshes.join()];
  let executed = 0;
  const counted = held(
    async () => {},
    () => void executed++,
  );
  await hostGraph(host, counted);
  const graph = remoteGraph(caller, counted);
  const results = await Promise.all(
    upTo(5).map(() => graph.invoke({}, { thread: "t", id: "order-7" })),
  );
  expect(await graph.invoke({}, { thread: "t", id: "order-7" })).toEqual(results[0]);
  expect(new Set(results.map(({ run }) => run))).toEqual(new Set(["order-7"]));
  expect(executed).toBe(1);
  await graph.invoke({}, { thread: "t" });
  await expect(graph.invoke({}, { thread: "t", id: "order-7" })).rejects.toMatchObject({
    code: "CONFLICT",
  });
});

test("a run is watched from elsewhere, from its beginning or from where it is", async () => {
  const [host, caller, other] = [await meshes.join(), await meshes.join(), await meshes.join()];
  const [begun, go] = [gate(), gate()];
  const telling = held(async (context) => {
    context.token("to");
    begun.open();
    await go.opened;
    context.token("ken");
    context.emit({ progress: 1 });
  });
  await hostGraph(host, telling);
  const stream = remoteGraph(caller, telling).stream(
    { log: ["in"] },
    { thread: "t", mode: ["updates", "tokens", "custom"] },
  );
  await begun.opened;
  const late = remoteGraph(other, telling).watch("t", { mode: "tokens" });
  const lateItems = collect(late);
  // It must have been told before the run goes on; nothing else says that somebody listens.
  await other.inspect(host.agents()[0]!.instance);
  await new Promise((resolve) => setTimeout(resolve, 200));
  go.open();
  const items = await collect(stream);
  expect(items.map((item) => ("update" in item ? item.update : item))).toEqual([
    { log: ["first"] },
    { mode: "tokens", node: "second", text: "to" },
    { mode: "tokens", node: "second", text: "ken" },
    { mode: "custom", node: "second", value: { progress: 1 } },
    { log: ["second"] },
  ]);
  expect((await stream.result).output).toEqual({ log: ["in", "first", "second"] });
  expect(await lateItems).toEqual([{ mode: "tokens", node: "second", text: "ken" }]);
  expect((await late.result).status).toBe("completed");
});

async function collect<T extends StreamItem>(stream: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of stream) items.push(item);
  return items;
}

test("an output that no message holds is read from what is recorded", async () => {
  const [host, caller] = [await meshes.join(), await meshes.join()];
  const large = new StateGraph({ blob: z.string() }, { name: "large" })
    .addNode("make", () => ({ blob: "x".repeat(3_000_000) }))
    .addEdge(START, "make")
    .addEdge("make", END)
    .compile();
  await hostGraph(host, large);
  const { output } = await remoteGraph(caller, large).invoke({}, { thread: "t" });
  expect(output.blob).toHaveLength(3_000_000);
  const byName = await remoteGraph(caller, "large").invoke({}, { thread: "u" });
  expect((byName.output as { blob: string }).blob.length).toBe(3_000_000);
});

test("without anybody who hosts the graph, a caller is told so; what is recorded can be read", async () => {
  const [host, caller] = [await meshes.join(), await meshes.join()];
  const hosted = await hostGraph(host, steps());
  const graph = remoteGraph(caller, steps());
  const { output } = await graph.invoke({}, { thread: "t" });
  await hosted.drain();
  expect((await graph.getState("t")).values).toEqual(output);
  const named = remoteGraph(caller, "steps");
  expect(await named.getState("t")).toEqual(await graph.getState("t"));
  expect(await named.getStateHistory("t")).toEqual(await graph.getStateHistory("t"));
  await expect(graph.invoke({}, { thread: "t", timeout: "1s" })).rejects.toMatchObject({
    code: "NO_AGENT",
  });
});

test("runs that sleep are not kept in memory, and go on when their time has come or something else has", async () => {
  const [host, caller] = [await meshes.join(), await meshes.join()];
  let executed = 0;
  const sleepy = new StateGraph({ log: append(z.string()) }, { name: "sleepy" })
    .addNode("nap", (_, context) => {
      executed++;
      context.sleep("32s");
      return { log: ["rested"] };
    })
    .addNode("listen", (_, context) => ({
      log: [context.waitFor<string>("noise", { timeout: "1h" }) ?? "silence"],
    }))
    .addEdge(START, "nap")
    .addEdge("nap", "listen")
    .addEdge("listen", END)
    .compile();
  const hosted = await hostGraph(host, sleepy);
  const graph = remoteGraph(caller, sleepy);
  const ended = graph.invoke({}, { thread: "t" });
  await expect.poll(() => executed).toBe(1);
  // Nothing is executed: the host can leave at once, and the next one has it to wake.
  const drained = performance.now();
  await hosted.drain();
  expect(performance.now() - drained).toBeLessThan(9_000);
  await hostGraph(await meshes.join(), sleepy);
  const heard = async () => (await graph.getState("t")).next;
  await expect.poll(heard, { timeout: 50_000 }).toEqual(["listen"]);
  await graph.signal("t", "noise", "bang");
  expect((await ended).output).toEqual({ log: ["rested", "bang"] });
}, 90_000);

describe("when the owner of a thread", () => {
  test("drains, what it executes ends, and the next one goes on behind it", async () => {
    const [first, second, caller] = [await meshes.join(), await meshes.join(), await meshes.join()];
    const [begun, go] = [gate(), gate()];
    let executed = 0;
    let continued = 0;
    const graph = new StateGraph({ log: append(z.string()) }, { name: "held" })
      .addNode("slow", async () => {
        executed++;
        begun.open();
        await go.opened;
        return { log: ["slow"] };
      })
      .addNode("next", () => {
        continued++;
        return { log: ["next"] };
      })
      .addEdge(START, "slow")
      .addEdge("slow", "next")
      .addEdge("next", END)
      .compile();
    const hosted = await hostGraph(first, graph);
    const running = remoteGraph(caller, graph).invoke({}, { thread: "t" });
    await begun.opened;
    await hostGraph(second, graph);
    const drained = hosted.drain();
    setTimeout(() => go.open(), 300);
    await drained;
    expect((await running).output).toEqual({ log: ["slow", "next"] });
    expect([executed, continued]).toEqual([1, 1]);
  });

  test("is cut off, the next one goes on within its lease, and the first one records nothing more", async () => {
    await using proxy = await startProxy({ target: meshes.broker.url });
    const cutOff = await meshes.join({ servers: proxy.url });
    const [second, caller] = [await meshes.join(), await meshes.join()];
    const begun = gate();
    const aborted = gate();
    let firsts = 0;
    const stuck = held(
      async ({ signal }) => {
        begun.open();
        await fired(signal);
        aborted.open();
      },
      () => void firsts++,
    );
    await hostGraph(cutOff, stuck, { lease: LEASE });
    const graph = remoteGraph(caller, stuck);
    const running = graph.invoke({ log: ["in"] }, { thread: "t", durability: "sync" });
    await begun.opened;
    await hostGraph(
      second,
      held(
        async () => {},
        () => void firsts++,
      ),
      { lease: LEASE },
    );
    proxy.hold();
    expect((await running).output).toEqual({ log: ["in", "first", "second"] });
    await aborted.opened;
    expect(firsts).toBe(1);
    const { values } = await graph.getState("t");
    expect(values).toEqual({ log: ["in", "first", "second"] });
  });
});
