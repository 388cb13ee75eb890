import type { Checkpointer } from "@plexus/core";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { onBusy, type BusyPolicy } from "./busy.ts";
import { append } from "./channel.ts";
import { Command, END, START } from "./command.ts";
import { StateGraph } from "./graph.ts";
import { MemoryCheckpointer } from "./memory-checkpointer.ts";

const thread = "t";

/** A run notes its name, which can be undone, and then waits: for an answer, or until it is released. */
function desk(release?: Promise<void>) {
  const undone: string[] = [];
  const graph = new StateGraph({ name: z.string(), log: append(z.string()) })
    .addNode("note", ({ name }) => ({ log: [`${name} begins`] }), {
      compensate: ({ log }) => void undone.push(String(log)),
    })
    .addNode("work", async ({ name }, ctx) => {
      if (release) await release;
      else ctx.interrupt(name);
      return { log: [`${name} ends`] };
    })
    .addEdge(START, "note")
    .addEdge("note", "work")
    .addEdge("work", END)
    .compile({ checkpointer: new MemoryCheckpointer() });
  const begin = (name: string, busy?: BusyPolicy, signal?: AbortSignal) =>
    graph.invoke({ name }, { thread, ...(busy ? { busy } : {}), ...(signal ? { signal } : {}) });
  return { graph, begin, undone };
}

const answer = new Command({ resume: "go on" });

test.each<[BusyPolicy, string]>([
  ["reject", "begin refuse refuse refuse begin"],
  ["enqueue", "begin wait wait wait begin"],
  ["interrupt", "begin end end wait begin"],
  ["rollback", "begin undo undo wait begin"],
])("%s: decides by how the other run stands", (policy, decisions) => {
  const statuses = ["idle", "running", "waiting", "compensating", "failed"] as const;
  expect(statuses.map((status) => onBusy(policy, status)).join(" ")).toBe(decisions);
});

describe("an input while a run waits", () => {
  test("is refused by default, and changes nothing", async () => {
    const { graph, begin } = desk();
    await begin("first");
    await expect(begin("second")).rejects.toMatchObject({ code: "CONFLICT" });
    const { output } = await graph.invoke(answer, { thread });
    expect(output.log).toEqual(["first begins", "first ends"]);
  });

  test("enqueued, has its turn when that run is over, in the order of the inputs", async () => {
    const { graph, begin } = desk();
    await begin("first");
    const second = begin("second", "enqueue");
    const third = begin("third", "enqueue");
    await graph.invoke(answer, { thread });
    expect((await second).interrupts).toMatchObject([{ value: "second" }]);
    await graph.invoke(answer, { thread });
    expect((await third).interrupts).toMatchObject([{ value: "third" }]);
    const { output } = await graph.invoke(answer, { thread });
    const names = ["first", "second", "third"];
    expect(output.log).toEqual(names.flatMap((name) => [`${name} begins`, `${name} ends`]));
  });

  test("enqueued, is gone when its caller gives up", async () => {
    const { graph, begin } = desk();
    await begin("first");
    const giveUp = new AbortController();
    const second = begin("second", "enqueue", giveUp.signal);
    await new Promise(setImmediate);
    giveUp.abort(new Error("no patience"));
    await expect(second).rejects.toThrow("no patience");
    const { output } = await graph.invoke(answer, { thread });
    expect(output.log).toEqual(["first begins", "first ends"]);
  });

  test("interrupting, ends that run and builds on what it has left", async () => {
    const { graph, begin, undone } = desk();
    await begin("first");
    await begin("second", "interrupt");
    const { output } = await graph.invoke(answer, { thread });
    expect(output).toEqual({
      name: "second",
      log: ["first begins", "second begins", "second ends"],
    });
    expect(undone).toEqual([]);
  });

  test("rolling back, undoes that run and builds on what was before it", async () => {
    const { graph, begin, undone } = desk();
    await begin("zeroth");
    await graph.invoke(answer, { thread });
    await begin("first");
    await begin("second", "rollback");
    const { output } = await graph.invoke(answer, { thread });
    expect(output).toEqual({
      name: "second",
      log: ["zeroth begins", "zeroth ends", "second begins", "second ends"],
    });
    expect(undone).toEqual(["first begins"]);
    expect((await graph.getState(thread)).values).toEqual(output);
  });
});

const asks = (checkpointer: Checkpointer) =>
  new StateGraph({ log: append(z.string()) })
    .addNode("ask", ({ log }, ctx) => ({ log: [`${log.at(-1)} ${ctx.interrupt<string>("?")}`] }))
    .addEdge(START, "ask")
    .addEdge("ask", END)
    .compile({ checkpointer });

test("an input whose caller has gone begins nothing when its first router has decided", async () => {
  const decided = Promise.withResolvers<string>();
  const asked = Promise.withResolvers<AbortSignal>();
  const graph = new StateGraph({ log: append(z.string()) })
    .addNode("work", () => ({ log: ["work"] }))
    .addConditionalEdges(
      START,
      (_, { signal }) => {
        asked.resolve(signal);
        return decided.promise;
      },
      ["work"],
    )
    .addEdge("work", END)
    .compile({ checkpointer: new MemoryCheckpointer() });
  const caller = new AbortController();
  const begun = graph.invoke({}, { thread, detach: caller.signal });
  const signal = await asked.promise;
  caller.abort(new Error("gone"));
  expect(signal.aborted).toBe(true);
  decided.resolve("work");
  await expect(begun).rejects.toThrow("gone");
  await expect(graph.getState(thread)).rejects.toMatchObject({ code: "NO_RUN" });
});

test("who begins next begins with what was before a run that was rolled back, if its caller has died in between", async () => {
  const store = new MemoryCheckpointer();
  await asks(store).invoke({ log: ["zeroth"] }, { thread });
  await asks(store).invoke(answer, { thread });
  await asks(store).invoke({ log: ["first"] }, { thread });
  let owned = 0;
  const dying: Checkpointer = {
    read: store.read.bind(store),
    list: store.list.bind(store),
    own: async (name, options) => {
      if (owned++ > 0) throw new Error("it has died");
      return store.own(name, options);
    },
  };
  const second = asks(dying).invoke({ log: ["second"] }, { thread, busy: "rollback" });
  await expect(second).rejects.toThrow("it has died");
  expect(await asks(store).getState(thread)).toMatchObject({ status: "canceled" });
  await asks(store).invoke({ log: ["second"] }, { thread });
  const { output } = await asks(store).invoke(answer, { thread });
  expect(output.log).toEqual(["zeroth", "zeroth go on", "second", "second go on"]);
});

describe("an input while a run is executed", () => {
  test("enqueued, waits for its end", async () => {
    const release = Promise.withResolvers<void>();
    const { begin } = desk(release.promise);
    const first = begin("first");
    const second = begin("second", "enqueue");
    release.resolve();
    await first;
    const { output } = await second;
    expect(output.log).toEqual(["first begins", "first ends", "second begins", "second ends"]);
  });

  test.each<[BusyPolicy, string[], string[]]>([
    ["interrupt", ["first begins", "second begins", "second ends"], []],
    ["rollback", ["second begins", "second ends"], ["first begins"]],
  ])("%s: ends it; who waits for it is told", async (policy, log, expected) => {
    const release = Promise.withResolvers<void>();
    const { begin, undone } = desk(release.promise);
    const first = begin("first");
    const refused = first.catch((error: unknown) => error);
    await new Promise(setImmediate);
    const second = begin("second", policy);
    expect(await refused).toMatchObject({ code: "CANCELED" });
    release.resolve();
    expect((await second).output.log).toEqual(log);
    expect(undone).toEqual(expected);
  });
});
