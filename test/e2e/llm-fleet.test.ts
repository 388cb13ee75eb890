import { setTimeout as sleep } from "node:timers/promises";
import { budgetBucket, readBudget, type ModelsOptions } from "@plexus/llm";
import type { Mesh } from "@plexus/mesh";
import { startModelServer, type NodeProcess } from "@plexus/testing";
import { describe, expect, test, vi } from "vitest";
import { deployment } from "../support/models.ts";
import { useMeshes } from "../support/mesh.ts";
import { startAgent } from "../support/workers.ts";
import { asker } from "./agents/contracts.ts";

const meshes = useMeshes();

vi.setConfig({ testTimeout: 90_000 }); // each starts several processes, and the machine may be busy

type Outcome = Awaited<ReturnType<ReturnType<typeof ask>>>;

/** Calls of one process. */
const ask =
  (mesh: Mesh, name: string) =>
  (calls: number, more: { lanes?: number; pause?: number; ask?: string; tell?: boolean } = {}) =>
    mesh.get(asker(name)).ask({ calls, ...more });

interface Askers extends AsyncDisposable {
  readonly mesh: Mesh;
  readonly processes: readonly NodeProcess[];
  /** One function for each process. */
  readonly ask: readonly ReturnType<typeof ask>[];
  add(): Promise<ReturnType<typeof ask>>;
}

/** Starts processes that ask models. */
async function startAskers(count: number, options: ModelsOptions): Promise<Askers> {
  const mesh = await meshes.join();
  const processes: NodeProcess[] = [];
  const add = async () => {
    const name = `asker-${processes.length}`;
    const env = { PLEXUS_TEST_MODELS: JSON.stringify(options) };
    const process = startAgent(meshes, "asker", [name], env);
    processes.push(process);
    await process.waitForLine("ready", 30_000);
    await mesh.waitFor(name);
    return ask(mesh, name);
  };
  const all = await Promise.all(Array.from({ length: count }, add));
  return {
    mesh,
    processes,
    ask: all,
    add,
    [Symbol.asyncDispose]: async () => {
      await Promise.all(processes.map((process) => process[Symbol.asyncDispose]()));
    },
  };
}

describe("what one process learns, all know:", () => {
  test("that a deployment has tripped, within 100 ms, and whoever comes later", async () => {
    await using server = await startModelServer();
    server.always({ kind: "status", status: 500 });
    const spec = deployment(server, { breaker: { reset: "1m" } });
    await using askers = await startAskers(3, {
      groups: { desk: { deployments: [spec], attempts: 1 } },
    });
    const [first, ...others] = askers.ask;
    expect((await first!(5)).outcomes).toEqual({ MODEL_FAILED: 5 });
    await sleep(100);
    const before = server.count;
    for (const outcome of await Promise.all(others.map((other) => other(5)))) {
      expect(outcome.outcomes).toEqual({ BREAKER_OPEN: 5 });
    }
    const late = await askers.add();
    expect((await late(5)).outcomes).toEqual({ BREAKER_OPEN: 5 });
    expect(server.count).toBe(before);
  });

  test("that a deployment wants to be left alone, within 100 ms and for as long as it says", async () => {
    await using server = await startModelServer();
    const groups = { desk: { deployments: [deployment(server, { timeout: "30s" })], attempts: 1 } };
    await using askers = await startAskers(3, { groups });
    const ok = async (one: (typeof askers.ask)[number]) =>
      expect.poll(async () => (await one(1)).outcomes).toEqual({ ok: 1 });
    const delays: number[] = [];
    for (let round = 0; round < 5; round++) {
      const from = server.count;
      const running = askers.ask.map((one) => one(40, { lanes: 2, pause: 20 }));
      await sleep(150);
      server.next({ kind: "status", status: 429, retryAfter: "1" });
      for (const { outcomes } of await Promise.all(running)) {
        expect(outcomes["RATE_LIMITED"]).toBeGreaterThan(0);
      }
      await Promise.all(askers.ask.map(ok));
      const calls = server.calls.slice(from);
      const told = calls.find((call) => call.did === "status")!.at;
      const after = calls.map(({ at }) => at - told).filter((ms) => ms > 0);
      delays.push(Math.max(0, ...after.filter((ms) => ms < 900)));
      expect(after.filter((ms) => ms > 900 && ms < 1_000)).toEqual([]);
    }
    // The machine may have been busy elsewhere in a round or two.
    expect(delays.toSorted((a, b) => a - b)[2]).toBeLessThan(100);
  });

  test("who tries a dead deployment: one call per reset time, in all; and that it works again", async () => {
    await using server = await startModelServer();
    server.always({ kind: "status", status: 500 });
    const spec = deployment(server, { breaker: { reset: 500 } });
    await using askers = await startAskers(4, {
      groups: { desk: { deployments: [spec], attempts: 1 } },
    });
    await Promise.all(askers.ask.map((one) => one(20)));
    await sleep(100);
    const from = server.count;
    const ended = { now: false };
    const hammer = askers.ask.map(async (one) => {
      while (!ended.now) await one(50);
    });
    await sleep(4_000);
    const trials = server.calls.slice(from).map(({ at }) => at);
    server.always(undefined);
    await sleep(700);
    ended.now = true;
    await Promise.all(hammer);
    expect(trials.length).toBeGreaterThanOrEqual(5);
    const gaps = trials.slice(1).map((at, i) => Math.round(at - trials[i]!));
    expect({ gaps, least: Math.min(480, ...gaps) }).toEqual({ gaps, least: 480 }); // 20 ms for the way to the stub
    for (const outcome of await Promise.all(askers.ask.map((one) => one(5)))) {
      expect(outcome.outcomes).toEqual({ ok: 5 });
    }
  });
});

test("a rate limit holds for the fleet, however eager its processes are", async () => {
  await using server = await startModelServer();
  const rpm = 3_000;
  const spec = deployment(server, { rpm, timeout: "30s" });
  await using askers = await startAskers(4, { groups: { desk: { deployments: [spec] } } });
  const began = performance.now();
  await Promise.all(askers.ask.map((one) => one(75, { lanes: 10 })));
  const seconds = (performance.now() - began) / 1_000;
  // 300 calls, of which 60 may come at once: 240 at 50 a second take 4.8 s.
  expect(server.count).toBe(300);
  expect(seconds).toBeGreaterThan(4.75);
  expect(seconds).toBeLessThan(7);
  const { calls } = server;
  for (const [last, { at }] of calls.entries()) {
    const first = calls.findIndex((call) => call.at > at - 1_000);
    expect(last - first + 1).toBeLessThanOrEqual(rpm / 60 + rpm * 0.02 + 1);
  }
});

/** What the calls below cost: 1,000 tokens of output for five dollars a million, and no input. */
const cost = 0.005;
const priced = { input: 0, output: 5 };
const options = (groups: NonNullable<ModelsOptions["groups"]>): ModelsOptions => ({
  groups,
  maxTokens: 1_000,
  budgets: { agent: { usd: 1 } },
});
const reply = { kind: "reply", text: "x", usage: { inputTokens: 0, outputTokens: 1_000 } } as const;

describe("a budget of a dollar", () => {
  test("that eight processes race for is not overshot, and is used up", async () => {
    await using server = await startModelServer();
    server.always(reply);
    const spec = deployment(server, { price: priced, timeout: "30s" }); // none is cut off and estimated
    const group = { desk: { deployments: [spec] } };
    await using askers = await startAskers(8, options(group));
    const outcomes: Outcome[] = await Promise.all(askers.ask.map((one) => one(60, { lanes: 4 })));
    const paid = outcomes.reduce((sum, one) => sum + one.costUsd, 0);
    const billed = server.count * cost;
    expect(billed).toBeLessThanOrEqual(1);
    expect(billed).toBeGreaterThan(0.9);
    expect(paid).toBeCloseTo(billed, 9);
    const codes = new Set(outcomes.flatMap((one) => Object.keys(one.outcomes)));
    expect(codes).toEqual(new Set(["ok", "BUDGET_EXCEEDED"]));
    const bucket = budgetBucket(askers.mesh);
    const spent = async () => (await readBudget(bucket, "agent:desk"))!.spent.nanoUsd;
    await expect.poll(spent).toBe(Math.round(billed * 1e9));
  });

  test("loses and doubles no charge when processes are killed in the middle, and blocks what they had set aside", async () => {
    await using server = await startModelServer({ latency: 20 });
    server.always(reply);
    const spec = deployment(server, { price: priced, timeout: "30s" }); // none is cut off and estimated
    const group = { desk: { deployments: [spec] } };
    await using askers = await startAskers(6, options(group));
    const told = Array.from({ length: 6 }, () => 0);
    for (const [i, process] of askers.processes.entries()) {
      void (async () => {
        for await (const line of process.lines()) {
          if (line.startsWith("charged ")) told[i]! += Number(line.slice("charged ".length));
        }
      })();
    }
    const running = askers.ask.map((one) => one(100, { lanes: 4, tell: true }));
    const settled = Promise.allSettled(running);
    await expect.poll(() => server.count).toBeGreaterThan(60);
    await Promise.all(askers.processes.slice(0, 3).map((process) => process.kill()));
    const outcomes = await settled;
    const bucket = budgetBucket(askers.mesh);
    const { spent, held } = (await readBudget(bucket, "agent:desk"))!;
    const billed = server.count * cost;
    const paid = told.reduce((sum, one) => sum + one, 0);
    const [recorded, blocked] = [spent.nanoUsd / 1e9, held.nanoUsd / 1e9];
    // Acknowledged is recorded, recorded is billed, and billed is recorded or blocked.
    expect(paid).toBeLessThanOrEqual(recorded + 1e-9);
    expect(recorded).toBeLessThanOrEqual(billed + 1e-9);
    expect(billed).toBeLessThanOrEqual(recorded + blocked + 1e-9);
    expect(recorded + blocked).toBeLessThanOrEqual(1 + 1e-9);
    // Of the dead, what was recorded and not told, or not even recorded, are calls that were under way: four each.
    expect(recorded - paid).toBeLessThanOrEqual(12 * cost + 1e-9);
    const survivors = outcomes
      .slice(3)
      .map((one) => (one as PromiseFulfilledResult<Outcome>).value);
    for (const [i, one] of survivors.entries()) expect(told[i + 3]).toBeCloseTo(one.costUsd, 9);
  });
});
