import { connect } from "@plexus/mesh";
import { spawnNode, startBroker, startProxy } from "@plexus/testing";
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
      processes: 12 + replicas.length,
    });
  },
  40_000,
);

test("an interrupted demo still processes what was published and reports it", async () => {
  await using run = spawnNode(plexus, {
    args: ["demo", "--json", "--rate", "500", "--symbols", "4", "--seconds", "60"],
  });
  const progress = new Promise<void>((resolve) => {
    const timer = setInterval(() => {
      if (!run.stderr().includes(" signals ")) return;
      clearInterval(timer);
      resolve();
    }, 50);
  });
  await progress;
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
}, 40_000);

test("a process that dies ends the demo with a coded error, not with a hang", async () => {
  await using broker = await startBroker();
  await using run = spawnNode(plexus, {
    args: ["demo", "--rate", "500", "--symbols", "4", "--seconds", "60", "--server", broker.url],
  });
  const [, name = ""] = /mesh (\S+)/.exec(await run.waitForLine(/mesh \S+/, 20_000)) ?? [];
  await using mesh = await connect({ servers: broker.url, mesh: name, http: false, log: silent });
  await mesh.waitFor("risk");
  await run.waitForLine(/ signals /, 20_000);
  for (const { pid } of mesh.agents("risk")) process.kill(pid, "SIGKILL");
  expect(await run.exited).toMatchObject({ code: 1 });
  expect(run.stderr()).toMatch(/PROCESS_DIED: risk-0 ended with SIGKILL/);
}, 40_000);

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
      stack.use(await takeSeat(await join(`${seat.role}-${seat.index}`, proxy.url), seat));
    }),
  );
  const outcome = await desk.run(new AbortController().signal, new Promise<never>(() => undefined));
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
}, 40_000);
