import { isMeshError, MeshError } from "@plexus/core";
import { OrderDesk, Portfolio, Risk } from "../contracts.ts";
import { bookKey } from "../decision.ts";
import { fill } from "../fill.ts";
import { nowMicros } from "../micros.ts";
import type { Part } from "./part.ts";
import { since, type Station } from "./station.ts";

/** Orders of one process that are under way at a time. */
const CONCURRENCY = 256;
/** What an order may run into while its book has no owner; it waits for the next attempt then. */
const PASSING = new Set(["AGENT_LOST", "NO_AGENT", "NOT_CONNECTED", "OVERLOADED", "TIMEOUT"]);

/**
 * Sees orders through: risk, fill, books. Keeps nothing, so any process serves any order and may die with it at any time: both
 * books know a command by the order's id, so an order that is executed again runs into what was recorded.
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

  return {
    host: () =>
      mesh.host(
        OrderDesk,
        {
          status: () => station.status(),
          async execute({ order, dueAt, sentAt }, { signal }) {
            const { id } = order;
            const key = bookKey(order);
            const started = nowMicros();
            hops.orders.observe(started - sentAt);
            executed.value += 1;
            station.inflight.value += 1;
            try {
              const answer = await mesh.get(Risk, key).assess(order, { id, signal });
              const assessed = nowMicros();
              hops.assessed.observe(assessed - started);
              if (answer.status === "rejected") {
                return { status: "rejected", reason: answer.reason };
              }
              const fillOfOrder = fill(answer.order);
              await mesh.get(Portfolio, key).record(fillOfOrder, { id, signal });
              hops.booked.observe(since(assessed));
              hops.total.observe(since(dueAt));
              return { status: "filled", fill: fillOfOrder, reduced: answer.reduced };
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
  };
}
