import { startProxy } from "@plexus/testing";
import { setTimeout as sleep } from "node:timers/promises";
import { beforeEach, describe, expect, test } from "vitest";
import { deployment, useModels } from "../../../test/support/models.ts";
import { useMeshes } from "../../../test/support/mesh.ts";
import { NOTHING, nanoUsd } from "./amount.ts";
import {
  Budgets,
  budgetBucket,
  listBudgets,
  readBudget,
  releaseBudget,
  setBudget,
  type BudgetAlert,
  type BudgetOptions,
} from "./budgets.ts";
import type { Fleet } from "./fleet.ts";
import { localFleet } from "./local-fleet.ts";

const meshes = useMeshes();
const models = useModels();
const cent = { nanoUsd: nanoUsd(0.01), tokens: 10 };
const exceeded = { code: "BUDGET_EXCEEDED", retryable: false };

/* The same for one process and for a mesh: `join` gives the fleet of a further process. */
const fleets: [string, () => () => Promise<Fleet>][] = [
  [
    "within one process",
    () => {
      const shared = localFleet();
      return async () => ({ ...shared, client: localFleet().client });
    },
  ],
  ["in a mesh", () => () => meshes.join()],
];

describe.each(fleets)("a budget %s", (_name, create) => {
  let join: () => Promise<Fleet>;
  let alerts: BudgetAlert[];

  beforeEach(() => {
    join = create();
    alerts = [];
  });

  const open = (fleet: Fleet, options: BudgetOptions = { agent: { usd: 1 } }) =>
    new Budgets(fleet, options, (alert) => alerts.push(alert));

  test("covers calls until it is used up, to the last cent", async () => {
    const fleet = await join();
    const budgets = open(fleet);
    for (let i = 0; i < 100; i++) {
      await (await budgets.reserve({ agent: "a" }, cent)).settle(cent);
    }
    await expect(budgets.reserve({ agent: "a" }, { nanoUsd: 1, tokens: 0 })).rejects.toMatchObject({
      ...exceeded,
      details: { budget: "agent:a", left: { nanoUsd: 0 } },
    });
    await (await budgets.reserve({ agent: "b" }, cent)).settle(NOTHING); // has its own
    const report = await readBudget(budgetBucket(fleet), "agent:a");
    expect(report).toMatchObject({ spent: { nanoUsd: 1e9, tokens: 1_000 }, held: { nanoUsd: 0 } });
    expect(alerts.map(({ budget, threshold }) => [budget, threshold])).toEqual([
      ["agent:a", 0.5],
      ["agent:a", 0.8],
      ["agent:a", 1],
    ]);
  });

  test("that is reserved is free again when the call costs less", async () => {
    const budgets = open(await join());
    const all = { nanoUsd: 1e9, tokens: 0 };
    const first = await budgets.reserve({ agent: "a" }, all);
    await expect(budgets.reserve({ agent: "a" }, cent)).rejects.toMatchObject(exceeded);
    await first.settle(cent);
    await (await budgets.reserve({ agent: "a" }, { nanoUsd: 0.99e9, tokens: 0 })).settle(NOTHING);
  });

  test("of several is refused by the one that is used up, and the others keep nothing back", async () => {
    const fleet = await join();
    const budgets = open(fleet, {
      mesh: { tokens: 1_000 },
      run: { tokens: 10 },
      tenant: { usd: 5 },
    });
    const scope = { agent: "a", tenant: "t", run: "r" };
    await expect(budgets.reserve(scope, { nanoUsd: 1, tokens: 11 })).rejects.toMatchObject({
      ...exceeded,
      message: expect.stringContaining("run:r"),
    });
    await (await budgets.reserve({ tenant: "t" }, { nanoUsd: 1, tokens: 1_000 })).settle(NOTHING);
  });

  test("is shared by processes, and a process that ends gives its rest back", async () => {
    const [one, two] = [open(await join()), open(await join())];
    await (await one.reserve({ agent: "a" }, { nanoUsd: 0.6e9, tokens: 0 })).settle(cent);
    await one.close();
    await (await two.reserve({ agent: "a" }, { nanoUsd: 0.99e9, tokens: 0 })).settle(NOTHING);
    await expect(two.reserve({ agent: "a" }, { nanoUsd: 1e9, tokens: 0 })).rejects.toMatchObject(
      exceeded,
    );
    expect(alerts).toHaveLength(2); // at 0.5 by one, at 0.8 by two, and not again
  });

  test("is set, and what the dead hold is released, from outside; the living go on", async () => {
    const fleet = await join();
    const bucket = budgetBucket(fleet);
    const [dead, alive] = [open(await join()), open(await join())];
    await dead.reserve({ agent: "a" }, { nanoUsd: 0.9e9, tokens: 0 }); // and never hears of it again
    const call = await alive.reserve({ agent: "a" }, cent);
    await call.settle(cent);
    await expect(
      alive.reserve({ agent: "a" }, { nanoUsd: 0.5e9, tokens: 0 }),
    ).rejects.toMatchObject(exceeded);
    await releaseBudget(bucket, "agent:a");
    expect(await readBudget(bucket, "agent:a")).toMatchObject({
      spent: cent,
      held: { nanoUsd: 0 },
    });
    // Its record was sealed: it notices with the next charge, which is not lost and not counted twice.
    const next = await alive.reserve({ agent: "a" }, cent);
    await next.settle(cent);
    await expect
      .poll(async () => (await readBudget(bucket, "agent:a"))!.spent.nanoUsd)
      .toBe(2 * cent.nanoUsd);
    await setBudget(bucket, "agent:a", { usd: 0.02 });
    await alive.close();
    const third = open(await join());
    await expect(third.reserve({ agent: "a" }, cent)).rejects.toMatchObject(exceeded);
    expect((await listBudgets(bucket)).map(({ name }) => name)).toEqual(["agent:a"]);
  });
});

describe("a budget whose broker is away", () => {
  test("goes on within what is granted, refuses what is not, and records everything when it is back", async () => {
    await using proxy = await startProxy({ target: meshes.broker.url });
    const mesh = await meshes.join({ servers: proxy.url });
    const budgets = new Budgets(mesh, { mesh: { usd: 1 } }, () => undefined);
    const milli = { nanoUsd: nanoUsd(0.001), tokens: 1 };
    await (await budgets.reserve({}, milli)).settle(milli); // one percent is granted: ten of these
    await proxy.cut();
    await expect.poll(() => mesh.connected).toBe(false);
    const settled: unknown[] = [];
    for (let i = 0; i < 9; i++) {
      settled.push((await budgets.reserve({}, milli)).settle(milli));
    }
    await expect(budgets.reserve({}, milli)).rejects.toMatchObject({ code: "NOT_CONNECTED" });
    await sleep(300);
    await proxy.heal();
    await Promise.all(settled);
    const bucket = budgetBucket(await meshes.join());
    expect((await readBudget(bucket, "mesh"))!.spent).toEqual({
      nanoUsd: nanoUsd(0.01),
      tokens: 10,
    });
    await (await budgets.reserve({}, milli)).settle(milli);
  });

  test("counts a write once whose acknowledgement was lost", async () => {
    await using proxy = await startProxy({ target: meshes.broker.url });
    const mesh = await meshes.join({ servers: proxy.url });
    const budgets = new Budgets(mesh, { mesh: { usd: 1 } }, () => undefined);
    await (await budgets.reserve({}, cent)).settle(cent);
    const call = await budgets.reserve({}, cent);
    proxy.hold("toClient"); // the broker gets it; its answer is lost with the connection
    const settled = call.settle(cent);
    await sleep(100);
    await proxy.cut();
    await proxy.heal();
    await settled;
    const bucket = budgetBucket(await meshes.join());
    expect((await readBudget(bucket, "mesh"))!.spent.nanoUsd).toBe(2 * cent.nanoUsd);
    await budgets.close();
    expect(await readBudget(bucket, "mesh")).toMatchObject({
      spent: { nanoUsd: 2 * cent.nanoUsd },
      processes: 0,
    });
  });
});

describe("calls of models", () => {
  test("are refused before they are made, and charged what they come to", async () => {
    const server = await models.server();
    server.always({ kind: "reply", text: "x", usage: { inputTokens: 50, outputTokens: 100 } });
    const alerts: BudgetAlert[] = [];
    const fleet = localFleet();
    const llm = await models.open({
      fleet,
      groups: { desk: { deployments: [deployment(server)] } },
      budgets: { agent: { usd: 0.002 }, run: { tokens: 200 } },
      maxTokens: 100,
      onBudgetAlert: (alert) => alerts.push(alert),
    });
    const ask = (run: string) => llm.generate("desk", "Hello", { run });
    expect((await ask("r1")).costUsd).toBe(0.000_25);
    await expect(ask("r1")).rejects.toMatchObject({
      ...exceeded,
      message: expect.stringContaining("run:r1"),
    });
    expect(server.count).toBe(1);
    for (let i = 2; i < 9; i++) await ask(`r${i}`);
    await expect(ask("r9")).rejects.toMatchObject({
      message: expect.stringContaining("agent:desk"),
    });
    expect(server.count).toBe(8);
    const recorded = async () => (await readBudget(budgetBucket(fleet), "agent:desk"))!.spent;
    await expect.poll(recorded).toMatchObject({ nanoUsd: nanoUsd(0.002) }); // behind the answers
    expect(alerts.some(({ budget }) => budget === "agent:desk")).toBe(true);
  });

  test("that are under way when everything ends are recorded as well", async () => {
    const server = await models.server();
    server.always({ kind: "stall" });
    const fleet = localFleet();
    const llm = await models.open({
      fleet,
      groups: { desk: { deployments: [deployment(server, { timeout: "30s" })] } },
      budgets: { agent: { usd: 1 } },
    });
    const call = llm.generate("desk", "Hello");
    call.catch(() => undefined);
    await expect.poll(() => server.count).toBe(1);
    await llm[Symbol.asyncDispose]();
    await expect(call).rejects.toMatchObject({ code: "CANCELED" });
    const report = (await readBudget(budgetBucket(fleet), "agent:desk"))!;
    expect(report.spent.nanoUsd).toBeGreaterThan(0); // what the provider may have counted
    expect([report.held.nanoUsd, report.processes]).toEqual([0, 0]);
  });

  test("that confirm wait for a broker that is away, but not for ever", async () => {
    await using proxy = await startProxy({ target: meshes.broker.url });
    const mesh = await meshes.join({ servers: proxy.url });
    const server = await models.server();
    server.always({ kind: "reply", text: "x", usage: { inputTokens: 50, outputTokens: 10 } });
    const llm = await models.open({
      fleet: mesh,
      groups: { desk: { deployments: [deployment(server)] } },
      budgets: { agent: { usd: 1 } },
      maxTokens: 100,
    });
    const spent = async () =>
      (await readBudget(budgetBucket(await meshes.join()), "agent:desk"))!.spent.tokens;
    await llm.generate("desk", "Hello", { confirm: true });
    expect(await spent()).toBe(60);
    await proxy.cut();
    await expect.poll(() => mesh.connected).toBe(false);
    const began = performance.now();
    await llm.generate("desk", "Hello", { confirm: true, timeout: 300 });
    expect(performance.now() - began).toBeGreaterThan(290);
    await proxy.heal();
    await expect.poll(spent).toBe(120);
  });

  test("need a price where money is limited", async () => {
    const server = await models.server();
    const { price: _none, ...spec } = deployment(server);
    const groups = { desk: { deployments: [spec] } };
    const limited = await models.open({ groups, budgets: { agent: { usd: 1 } } });
    await expect(limited.generate("desk", "Hello")).rejects.toMatchObject({
      code: "INVALID_CONTRACT",
      message: expect.stringContaining("give it a price"),
    });
    const free = await models.open({ groups, budgets: { agent: { tokens: 1e6 } } });
    expect((await free.generate("desk", "Hello")).costUsd).toBe(0);
  });
});
