import { isMeshError, MeshError } from "@plexus/core";
import { type OrderAnswer, OrderDesk, Portfolio, Risk } from "../contracts.ts";
import { bookKey, type Order } from "../decision.ts";
import { fill } from "../fill.ts";
import type { LargeOrder } from "../large-order-graph.ts";
import { nowMicros } from "../micros.ts";
import type { Part } from "./part.ts";
import { since, type Station } from "./station.ts";

/** Orders of one process that are under way at a time. */
const CONCURRENCY = 256;
/** How long a large order whose process has died waits for the next one. */
const LEASE = "2s";
/** What an order may run into while its book has no owner; it waits for the next attempt then. */
const PASSING = new Set(["AGENT_LOST", "NO_AGENT", "NOT_CONNECTED", "OVERLOADED", "TIMEOUT"]);

/** What sees large orders through. */
interface LargeOrderDesk extends AsyncDisposable {
  see(large: LargeOrder, signal: AbortSignal): Promise<OrderAnswer>;
}

/**
 * Sees orders through: risk, fill, books; large ones by way of a vote and a human's approval. Keeps nothing that matters, so any process
 * serves any order and may die with it at any time: both books know a command by the order's id, so an order that is executed again
 * runs into what was recorded.
 */
export function openOrder(station: Station): Part {
  const { mesh } = station;
  const executed = station.tally("orders");
  const hops = {
    orders: station.latency("orders"),
    assessed: station.latency("assessed"),
    booked: station.latency("fills"),
    total: station.latency("booked"),
  };
  let large: Promise<LargeOrderDesk> | undefined;

  async function execute(order: Order, signal: AbortSignal): Promise<OrderAnswer> {
    const { id } = order;
    const key = bookKey(order);
    const started = nowMicros();
    const answer = await mesh.get(Risk, key).assess(order, { id, signal });
    const assessed = nowMicros();
    hops.assessed.observe(assessed - started);
    if (answer.status === "rejected") return { status: "rejected", reason: answer.reason };
    const fillOfOrder = fill(answer.order);
    await mesh.get(Portfolio, key).record(fillOfOrder, { id, signal });
    hops.booked.observe(since(assessed));
    return { status: "filled", fill: fillOfOrder, reduced: answer.reduced };
  }

  /** Loaded by the first large order, as there need not be any. */
  async function openLarge(): Promise<LargeOrderDesk> {
    const { hostGraph, remoteGraph } = await import("@plexus/workflow");
    const { largeOrderGraph, seeThrough } = await import("../large-order-graph.ts");
    const { ApprovalDesk } = await import("./approvals.ts");
    const approvals = new ApprovalDesk(station);
    const graph = largeOrderGraph({
      execute,
      async refuse(order, reason, signal) {
        const { id } = order;
        const answer = await mesh
          .get(Risk, bookKey(order))
          .refuse({ order, reason }, { id, signal });
        return {
          status: "rejected",
          reason: answer.status === "rejected" ? answer.reason : reason,
        };
      },
    });
    const hosted = await hostGraph(mesh, graph, { lease: LEASE });
    const runs = remoteGraph(mesh, graph);
    return {
      see: (order, signal) => seeThrough(runs, order, (request) => approvals.ask(request, signal)),
      async [Symbol.asyncDispose]() {
        await hosted.drain();
        await approvals[Symbol.asyncDispose]();
      },
    };
  }

  return {
    host: () =>
      mesh.host(
        OrderDesk,
        {
          status: () => station.status(),
          async execute({ order, dueAt, sentAt, review }, { signal }) {
            hops.orders.observe(since(sentAt));
            executed.value += 1;
            station.inflight.value += 1;
            try {
              if (review !== undefined) {
                return await (await (large ??= openLarge())).see({ order, review }, signal);
              }
              const answer = await execute(order, signal);
              if (answer.status === "filled") hops.total.observe(since(dueAt));
              return answer;
            } catch (error) {
              if (!isMeshError(error) || !PASSING.has(error.code)) throw error;
              throw new MeshError(error.code, error.message, { cause: error, retryable: true });
            } finally {
              station.inflight.value -= 1;
            }
          },
        },
        { concurrency: CONCURRENCY },
      ),
    prepare: () => Promise.resolve(),
    async close() {
      await (await large)?.[Symbol.asyncDispose]();
    },
  };
}
