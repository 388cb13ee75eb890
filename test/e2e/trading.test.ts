import { setTimeout as sleep } from "node:timers/promises";
import { connect, type Mesh } from "@plexus/mesh";
import { type NodeProcess, spawnNode, startBroker, startProxy } from "@plexus/testing";
import {
  barsBefore,
  Desk,
  feedSchedule,
  loadDataset,
  planRun,
  Role,
  type RunPlan,
  simulate,
  type Simulation,
  takeSeat,
} from "@plexus/trading";
import { expect, test } from "vitest";
import { silent } from "../support/mesh.ts";

const dataset = loadDataset();

/** What one process computes for the bars of this run. */
function expected(plan: Pick<RunPlan, "symbols" | "seed" | "bars">): Simulation {
  const { symbols, seed } = plan;
  return simulate({
    dataset,
    symbols,
    seed,
    bars: barsBefore(feedSchedule(dataset, plan), plan.bars),
  });
}

/** Resolves when bars are being published. */
async function progressOf(run: NodeProcess): Promise<void> {
  await expect.poll(() => run.stderr(), { timeout: 20_000 }).toMatch(/ signals /);
}

/** How many signals a demo has told of. */
function signalsOf(run: NodeProcess): number {
  const told = run.stderr().matchAll(/([\d,]+) of [\d,]+ signals/g);
  return Math.max(0, ...Array.from(told, ([, count = ""]) => Number(count.replaceAll(",", ""))));
}

/** The mesh that a demo has made for itself. */
async function meshOf(run: NodeProcess): Promise<string> {
  const told = /mesh (demo-\S+)/;
  await expect.poll(() => run.stderr(), { timeout: 20_000 }).toMatch(told);
  return told.exec(run.stderr())![1]!;
}

/** The process of a role that is in the mesh now. */
async function pidOf(mesh: Mesh, role: Role): Promise<number> {
  await expect.poll(() => mesh.agents(role), { timeout: 10_000 }).not.toEqual([]);
  return mesh.agents(role)[0]!.pid;
}

const plexus = new URL("../../packages/cli/src/main.ts", import.meta.url);

test.each([
  { what: "one process for each role", replicas: [] },
  {
    what: "several processes for some roles",
    replicas: ["technical=2", "trend=2", "risk=2", "order=2", "portfolio=2"],
  },
])(
  "the demo with $what trades exactly as the simulation does",
  async ({ replicas }) => {
    const { signals, orders, fills, rejections, closing } = expected({
      symbols: 0,
      seed: 1,
      bars: 5_665,
    });
    await using run = spawnNode(plexus, {
      args: [
        "demo",
        "--json",
        "--rate",
        "3000",
        "--symbols",
        "0",
        ...replicas.flatMap((r) => ["--replicas", r]),
      ],
    });
    const { code } = await run.exited;
    expect({ code, stderr: run.stderr() }).toMatchObject({ code: 0 });
    const result: unknown = JSON.parse(await run.waitForLine(/^\{/));
    expect(result).toMatchObject({
      signals,
      decisions: 3 * signals,
      orders: orders.length,
      fills: fills.length,
      rejected: rejections.length,
      lost: 0,
      duplicates: 0,
      ledgerHash: closing.ledgerHash,
      pnlCents: closing.total.pnlCents,
      buyAndHoldCents: closing.buyAndHoldCents,
      processes: Role.options.length + replicas.length,
    });
  },
  90_000,
);

test("an interrupted demo still processes what was published and reports it", async () => {
  await using run = spawnNode(plexus, {
    args: ["demo", "--json", "--rate", "500", "--symbols", "4", "--seconds", "60"],
  });
  await expect.poll(() => signalsOf(run), { timeout: 20_000 }).toBeGreaterThan(100);
  const { code } = await run.kill("SIGINT");
  expect({ code, stderr: run.stderr() }).toMatchObject({ code: 130 });
  const result = JSON.parse(await run.waitForLine(/^\{/)) as Record<string, number | string>;
  const { signals, closing } = expected({ symbols: 4, seed: 1, bars: Number(result["signals"]) });
  expect(signals).toBeGreaterThan(100);
  expect(result).toMatchObject({
    lost: 0,
    duplicates: 0,
    stopped: true,
    ledgerHash: closing.ledgerHash,
  });
}, 90_000);

test("every role can be killed in turn: the run ends with the same books and leaves nothing behind", async () => {
  await using broker = await startBroker();
  const server = ["--server", broker.url];
  await using run = spawnNode(plexus, {
    args: ["demo", "--json", "--rate", "450", "--symbols", "0", ...server],
  });
  const name = await meshOf(run);
  await using mesh = await connect({ servers: broker.url, mesh: name, http: false, log: silent });
  await progressOf(run);
  const pids: number[] = [];
  for (const role of Role.options) {
    pids.push(await pidOf(mesh, role));
    process.kill(pids.at(-1)!, "SIGKILL");
    await sleep(600);
  }
  expect(new Set(pids).size).toBe(Role.options.length);
  const { code } = await run.exited;
  expect({ code, stderr: run.stderr() }).toMatchObject({ code: 0 });
  const { orders, fills, rejections, closing } = expected({ symbols: 0, seed: 1, bars: 5_665 });
  expect(JSON.parse(await run.waitForLine(/^\{/))).toMatchObject({
    orders: orders.length,
    fills: fills.length,
    rejected: rejections.length,
    lost: 0,
    duplicates: 0,
    ledgerHash: closing.ledgerHash,
  });
  expect(await mesh.topics()).toEqual([]);
}, 60_000);

test("in chaos the ledger becomes what it becomes in one process, and the demo says so", async () => {
  await using run = spawnNode(plexus, {
    args: ["demo", "--json", "--chaos", "--rate", "700", "--symbols", "0", "--seed", "7"],
  });
  const { code } = await run.exited;
  expect({ code, stderr: run.stderr() }).toMatchObject({ code: 0 });
  const { orders, fills, closing } = expected({ symbols: 0, seed: 7, bars: 5_665 });
  const result = JSON.parse(await run.waitForLine(/^\{/)) as Record<string, unknown>;
  expect(result).toMatchObject({
    orders: orders.length,
    fills: fills.length,
    lost: 0,
    duplicates: 0,
    ledgerHash: closing.ledgerHash,
    brokerRestarts: 1,
    ledgerMatches: true,
  });
  expect(result["kills"]).toBeGreaterThanOrEqual(7);
}, 60_000);

test("a process that hangs is told of and replaced, and the ledger is what it must be", async () => {
  await using broker = await startBroker();
  await using run = spawnNode(plexus, {
    args: ["demo", "--json", "--rate", "500", "--symbols", "0", "--server", broker.url],
  });
  const name = await meshOf(run);
  await using mesh = await connect({ servers: broker.url, mesh: name, http: false, log: silent });
  await progressOf(run);
  const pid = await pidOf(mesh, "trend");
  process.kill(pid, "SIGSTOP");
  const { code } = await run.exited;
  expect({ code, stderr: run.stderr() }).toMatchObject({ code: 0 });
  expect(run.stderr()).toContain(`trend-0 (pid ${pid}) hangs`);
  const { closing } = expected({ symbols: 0, seed: 1, bars: 5_665 });
  expect(JSON.parse(await run.waitForLine(/^\{/))).toMatchObject({
    lost: 0,
    ledgerHash: closing.ledgerHash,
  });
}, 60_000);

test("a process that cannot be kept running ends the demo with a coded error, not with a hang", async () => {
  await using broker = await startBroker();
  const load = ["--rate", "500", "--symbols", "4", "--seconds", "60"];
  await using run = spawnNode(plexus, {
    args: ["demo", "--json", ...load, "--server", broker.url],
  });
  const name = await meshOf(run);
  await using mesh = await connect({ servers: broker.url, mesh: name, http: false, log: silent });
  mesh.watch(({ type, instance }) => {
    if (type === "joined" && instance.agent === "technical") process.kill(instance.pid, "SIGKILL");
  });
  for (const { pid } of mesh.agents("technical")) process.kill(pid, "SIGKILL");
  expect(await run.exited).toMatchObject({ code: 1 });
  const result = JSON.parse(await run.waitForLine(/^\{/)) as { error: Error };
  expect(result.error).toMatchObject({ code: "PROCESS_DIED" });
  expect(result.error.message).toMatch(/technical-0 ended with its crash number/);
}, 60_000);

test("any delay between any two processes leaves the books as they must be", async () => {
  await using broker = await startBroker();
  const plan = planRun({
    symbols: 5,
    seed: 1,
    rate: 2_000,
    bars: 3_000,
    replicas: {
      index: 2,
      macro: 2,
      technical: 3,
      fundamental: 2,
      sentiment: 2,
      trend: 2,
      risk: 2,
      order: 2,
      portfolio: 3,
    },
  });
  const { promise: failed, reject: fail } = Promise.withResolvers<never>();
  failed.catch(() => undefined); // unless the desk hears of it
  const common = { mesh: "delayed", http: false, log: silent } as const;
  await using stack = new AsyncDisposableStack();
  const join = async (name: string, servers: string) =>
    stack.use(await connect({ ...common, name, servers }));
  const desk = stack.use(await Desk.open(await join("desk", broker.url), plan));
  const seats = Role.options.flatMap((role) =>
    Array.from({ length: plan.replicas[role] }, (_, index) => ({
      role,
      index,
      of: plan.replicas[role],
    })),
  );
  await Promise.all(
    seats.map(async (seat, position) => {
      const proxy = stack.use(await startProxy({ target: broker.url }));
      proxy.delay(position % 3, ((position * 7) % 5) * 2);
      const mesh = await join(`${seat.role}-${seat.index}`, proxy.url);
      stack.use(await takeSeat(mesh, seat, fail));
    }),
  );
  const outcome = await desk.run(new AbortController().signal, failed);
  const { report, closing, fills, orders } = expected(plan);
  expect(outcome).toMatchObject({
    lost: 0,
    duplicates: 0,
    signals: 3_000,
    orders: orders.length,
    fills: fills.length,
  });
  expect(outcome.report).toEqual(report);
  expect(outcome.closing).toEqual(closing);
}, 90_000);
