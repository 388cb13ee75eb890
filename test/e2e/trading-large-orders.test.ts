import { connect, type Mesh } from "@plexus/mesh";
import { type NodeProcess, spawnNode, startBroker } from "@plexus/testing";
import {
  Analyst,
  ApprovalRequests,
  Approvals,
  barsBefore,
  Desk,
  feedSchedule,
  isVotedDown,
  type LargeOrders,
  loadDataset,
  opinionOf,
  planRun,
  reviewOf,
  Role,
  simulate,
  type SimulateOptions,
  takeSeat,
} from "@plexus/trading";
import { expect, test } from "vitest";
import { silent } from "../support/mesh.ts";

const dataset = loadDataset();
const largeOrders: LargeOrders = { reviewAboveCents: 4_000_000, approveAboveCents: 9_000_000 };
/** A human of this desk does not like orders of one book. */
const approves = (order: string): boolean => !order.startsWith("trend:");

/** What becomes of large orders, if all that are asked for are answered so. */
const refusal: SimulateOptions["refusal"] = (order, input) => {
  const review = reviewOf(order, input, largeOrders);
  if (review === undefined) return undefined;
  if (isVotedDown(Analyst.options.map((analyst) => opinionOf(analyst, review)))) {
    return "voted-down";
  }
  return review.approval && !approves(order.id) ? "not-approved" : undefined;
};

const run = new URL("../../packages/trading/src/run.ts", import.meta.url);

test("large orders are voted on and approved, executed once though their process is killed while they wait, and the rest of the ledger is untouched", async () => {
  await using broker = await startBroker();
  const plan = planRun({ symbols: 0, seed: 1, rate: 3_000, bars: 3_000, largeOrders });
  const expected = simulate({
    dataset,
    symbols: 0,
    seed: 1,
    bars: barsBefore(feedSchedule(dataset, plan), plan.bars),
    refusal,
  });
  const reasons = expected.rejections.map(({ reason }) => reason);
  expect(reasons).toContain("voted-down");
  expect(reasons).toContain("not-approved");

  const { promise: failed, reject: fail } = Promise.withResolvers<never>();
  failed.catch(() => undefined); // unless the desk hears of it
  await using stack = new AsyncDisposableStack();
  const common = { mesh: "large", http: false, log: silent, servers: broker.url } as const;
  const join = async (name: string): Promise<Mesh> => stack.use(await connect({ ...common, name }));
  const desk = stack.use(await Desk.open(await join("desk"), plan));
  await Promise.all(
    Role.options
      .filter((role) => role !== "order")
      .map(async (role) => {
        stack.use(await takeSeat(await join(role), { role, index: 0, of: 1 }, fail));
      }),
  );
  const startOrders = (): NodeProcess =>
    stack.use(
      spawnNode(run, {
        args: ["order"],
        env: { PLEXUS_SERVERS: broker.url, PLEXUS_MESH: "large" },
      }),
    );
  let orders = startOrders();

  // The first question kills who has asked it: the order is asked for again, by whoever sees it through then.
  const human = await join("human");
  const asked: string[] = [];
  let killed = false;
  const answer = async (order: string): Promise<void> => {
    if (!killed) {
      killed = true;
      await orders.kill("SIGKILL");
      orders = startOrders();
    }
    await human.publish(Approvals, { order, approved: approves(order), by: "h" });
    await human.publish(Approvals, { order, approved: !approves(order), by: "too late" });
  };
  await human.subscribe(
    ApprovalRequests,
    ({ order }) => {
      if (asked.includes(order)) return;
      asked.push(order);
      answer(order).catch(fail);
    },
    { from: "all" },
  );

  const outcome = await desk.run(new AbortController().signal, failed);
  expect(killed).toBe(true);
  expect(asked.length).toBeGreaterThan(5);
  expect(outcome).toMatchObject({
    lost: 0,
    duplicates: 0,
    orders: expected.orders.length,
    fills: expected.fills.length,
  });
  const rejected = Map.groupBy(reasons, (reason) => reason);
  expect(outcome.rejections).toEqual(
    Object.fromEntries([...rejected].map(([reason, all]) => [reason, all.length])),
  );
  expect(outcome.closing).toEqual(expected.closing);
}, 240_000);
