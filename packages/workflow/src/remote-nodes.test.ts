import { MeshError, agent, entity } from "@plexus/core";
import { expect, test } from "vitest";
import { z } from "zod";
import { useMeshes } from "../../../test/support/mesh.ts";
import { append, sum } from "./channel.ts";
import { END, START } from "./command.ts";
import { StateGraph } from "./graph.ts";
import { MemoryCheckpointer } from "./memory-checkpointer.ts";
import { agentNode, commandNode, taskNode } from "./remote-nodes.ts";

const meshes = useMeshes();

const Desk = agent("desk", {
  capabilities: {
    score: { input: z.object({ text: z.string() }), output: z.number(), idempotent: true },
    settle: { input: z.number(), output: z.string(), durable: true },
  },
});

const Account = entity("account", {
  state: z.object({ cents: z.number() }),
  initial: { cents: 0 },
  events: { deposited: z.object({ cents: z.number() }) },
  fold: { deposited: (state, { cents }) => ({ cents: state.cents + cents }) },
  commands: { deposit: { input: z.number(), output: z.number() } },
  partitions: 2,
});

test("a node may be a capability of an agent", async () => {
  const mesh = await meshes.join();
  await mesh.host(Desk, { score: ({ text }) => text.length, settle: () => "" });
  await mesh.waitFor(Desk);
  const graph = new StateGraph({ text: z.string(), score: sum() })
    .addNode(
      "score",
      agentNode(mesh, Desk, "score", {
        input: ({ text }: { text: string }) => ({ text }),
        output: (score) => ({ score }),
      }),
    )
    .addEdge(START, "score")
    .addEdge("score", END)
    .compile();
  expect((await graph.invoke({ text: "four" })).output.score).toBe(4);
});

test("a node may be a durable task: who resumes the run waits for the same one", async () => {
  const mesh = await meshes.join();
  const begun = Promise.withResolvers<void>();
  const release = Promise.withResolvers<void>();
  let executed = 0;
  await mesh.host(Desk, {
    score: () => 0,
    settle: async (amount) => {
      executed++;
      begun.resolve();
      await release.promise;
      return `settled ${amount}`;
    },
  });
  const checkpointer = new MemoryCheckpointer();
  const open = () =>
    new StateGraph({ amount: z.number(), log: append(z.string()) })
      .addNode(
        "settle",
        taskNode(mesh, Desk, "settle", {
          input: ({ amount }: { amount: number }) => amount,
          output: (receipt) => ({ log: [receipt] }),
        }),
      )
      .addEdge(START, "settle")
      .addEdge("settle", END)
      .compile({ checkpointer });
  const dying = open().invoke({ amount: 7 }, { thread: "t", durability: "sync" });
  await begun.promise;
  checkpointer.revoke("t");
  await expect(dying).rejects.toMatchObject({ code: "FENCED" });
  const resumed = open().invoke(null, { thread: "t" });
  release.resolve();
  expect((await resumed).output.log).toEqual(["settled 7"]);
  expect(executed).toBe(1);
});

test("a task is canceled with its run", async () => {
  const mesh = await meshes.join();
  const begun = Promise.withResolvers<void>();
  const stopped = Promise.withResolvers<void>();
  await mesh.host(Desk, {
    score: () => 0,
    settle: async (_, { signal }) => {
      signal.addEventListener("abort", () => stopped.resolve());
      begun.resolve();
      await stopped.promise;
      return "stopped";
    },
  });
  const graph = new StateGraph({ amount: z.number() })
    .addNode(
      "settle",
      taskNode(mesh, Desk, "settle", {
        input: ({ amount }: { amount: number }) => amount,
        output: () => ({}),
      }),
    )
    .addEdge(START, "settle")
    .addEdge("settle", END)
    .compile();
  const giveUp = new AbortController();
  const run = graph.invoke({ amount: 1 }, { signal: giveUp.signal });
  await begun.promise;
  giveUp.abort();
  await expect(run).rejects.toMatchObject({ code: "CANCELED" });
  await stopped.promise;
});

test("a run that has failed is tried again with new tasks, of nodes that were canceled with it as well", async () => {
  const mesh = await meshes.join();
  let broken = true;
  const begun = Promise.withResolvers<void>();
  await mesh.host(Desk, {
    score: () => 0,
    settle: async (amount, { signal }) => {
      if (!broken) return `settled ${amount}`;
      if (amount === 1) {
        begun.resolve();
        await new Promise((_, reject) => {
          signal.addEventListener("abort", () => reject(signal.reason as Error));
        });
      }
      await begun.promise;
      throw new MeshError("BUDGET_EXCEEDED", "no money");
    },
  });
  const settle = (amount: number) =>
    taskNode(mesh, Desk, "settle", {
      input: () => amount,
      output: (receipt) => ({ log: [receipt] }),
    });
  const inner = new StateGraph({ log: append(z.string()) })
    .addNode("slow", settle(1))
    .addEdge(START, "slow")
    .addEdge("slow", END)
    .compile();
  const graph = new StateGraph({ log: append(z.string()) })
    .addSubgraph("inner", inner, { map: () => ({}), merge: ({ log }) => ({ log }) })
    .addNode("fails", settle(2))
    .addEdge(START, "inner")
    .addEdge(START, "fails")
    .addEdge("inner", END)
    .addEdge("fails", END)
    .compile({ checkpointer: new MemoryCheckpointer() });
  await expect(graph.invoke({}, { thread: "t" })).rejects.toMatchObject({
    code: "BUDGET_EXCEEDED",
  });
  broken = false;
  const { output } = await graph.invoke(null, { thread: "t" });
  expect(output.log).toEqual(["settled 1", "settled 2"]);
});

test("a node may be a command of an entity: given again by who resumes the run, it is executed once", async () => {
  const mesh = await meshes.join();
  await mesh.host(Account, {
    deposit: (cents, context) => {
      context.emit("deposited", { cents });
      return context.state.cents;
    },
  });
  const checkpointer = new MemoryCheckpointer();
  const deposited = Promise.withResolvers<void>();
  const hold = Promise.withResolvers<void>();
  const open = (dies: boolean) => {
    const deposit = commandNode(mesh, Account, "deposit", {
      key: ({ owner }: { owner: string }) => owner,
      input: () => 5,
      output: (balance) => ({ balance: [balance] }),
    });
    return new StateGraph({ owner: z.string(), balance: append(z.number()) })
      .addNode("deposit", async (state, context) => {
        const update = await deposit(state, context);
        deposited.resolve();
        if (dies) await hold.promise;
        return update;
      })
      .addEdge(START, "deposit")
      .addEdge("deposit", END)
      .compile({ checkpointer });
  };
  const dying = open(true).invoke({ owner: "ada" }, { thread: "t", durability: "sync" });
  await deposited.promise;
  checkpointer.revoke("t");
  await expect(dying).rejects.toMatchObject({ code: "FENCED" });
  const { output } = await open(false).invoke(null, { thread: "t" });
  hold.resolve();
  expect(output.balance).toEqual([5]);
  expect(await mesh.get(Account, "ada").deposit(1)).toBe(6);
});

test("what a contract does not offer is refused when the graph is written", async () => {
  const mesh = await meshes.join();
  const mapping = { input: () => ({ text: "" }), output: () => ({}) };
  expect(() => agentNode(mesh, Desk, "typo" as "score", mapping)).toThrow("no capability typo");
  expect(() => taskNode(mesh, Desk, "score", mapping)).toThrow("cannot be a task");
  expect(() =>
    commandNode(mesh, Account, "typo" as "deposit", {
      key: () => "",
      input: () => 1,
      output: () => ({}),
    }),
  ).toThrow("no command typo");
});
