import { bySymbol, OrderDesk, Portfolio } from "../contracts.ts";
import { fill } from "../fill.ts";
import { nowMicros } from "../micros.ts";
import { EXECUTION } from "./execution.ts";
import type { Part } from "./part.ts";
import { persist } from "./persist.ts";
import { since, type Station } from "./station.ts";

/** Executes approved orders and has them booked. Keeps nothing, so any instance serves any order. */
export function openOrder(station: Station): Part {
  const { mesh } = station;
  const portfolio = mesh.get(Portfolio, bySymbol);
  const received = station.received("approvals");
  const sent = station.sent("fills");
  const hop = station.latency("approvals");

  return {
    host: () =>
      mesh.host(
        OrderDesk,
        {
          status: () => station.status(),
          async execute({ order, dueAt, sentAt }) {
            hop.observe(since(sentAt));
            received.value += 1;
            const executed = fill(order);
            sent.value += 1;
            station.inflight.value += 1;
            try {
              await persist(() =>
                portfolio.book(
                  { fill: executed, dueAt, sentAt: nowMicros() },
                  { key: executed.symbol },
                ),
              );
              return executed;
            } finally {
              station.inflight.value -= 1;
            }
          },
        },
        EXECUTION,
      ),
    prepare: ({ replicas }) => mesh.waitFor(Portfolio, { instances: replicas.portfolio }),
  };
}
