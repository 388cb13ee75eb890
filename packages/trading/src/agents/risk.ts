import { OrderDesk, Risk } from "../contracts.ts";
import { bookKey } from "../decision.ts";
import { nowMicros } from "../micros.ts";
import { createRisk } from "../risk.ts";
import { EXECUTION } from "./execution.ts";
import { Ownership } from "./ownership.ts";
import type { Part } from "./part.ts";
import { persist } from "./persist.ts";
import { since, type Station } from "./station.ts";

/** Owns the limits of its symbols: judges each order once and has the approved ones executed. */
export function openRisk(station: Station): Part {
  const { mesh } = station;
  const risk = createRisk();
  const orders = mesh.get(OrderDesk);
  const received = station.received("orders");
  const sent = station.sent("approvals");
  const hop = station.latency("orders");
  const latest = new Map<string, number>();
  let instance = "";
  let ownership: Ownership | undefined;

  /** Whether the order comes for the first time; its repetition gets the same answer. */
  function isNew(order: { strategy: string; symbol: string; number: number }): boolean {
    const key = bookKey(order);
    if (order.number <= (latest.get(key) ?? -1)) return false;
    latest.set(key, order.number);
    return true;
  }

  return {
    async host() {
      const hosted = await mesh.host(
        Risk,
        {
          status: () => station.status(),
          async submit({ order, dueAt, sentAt }) {
            ownership?.require(order.symbol);
            hop.observe(since(sentAt));
            const assessment = risk.assess(order);
            const first = isNew(order);
            if (first) received.value += 1;
            else station.duplicates.value += 1;
            if (assessment.status === "rejected") {
              return { status: "rejected", reason: assessment.reason };
            }
            if (first) sent.value += 1;
            station.inflight.value += 1;
            try {
              const fill = await persist(() =>
                orders.execute({ order: assessment.order, dueAt, sentAt: nowMicros() }),
              );
              return { status: "filled", fill, reduced: assessment.reduced };
            } finally {
              station.inflight.value -= 1;
            }
          },
        },
        EXECUTION,
      );
      instance = hosted.info.instance;
      return hosted;
    },
    async prepare({ replicas }) {
      await Promise.all([
        mesh.waitFor(Risk, { instances: replicas.risk }),
        mesh.waitFor(OrderDesk, { instances: replicas.order }),
      ]);
      ownership = new Ownership(mesh, Risk.name, instance);
    },
  };
}
