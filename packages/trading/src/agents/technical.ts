import { agents, Bars, FEEDS_PER_SHARD, Signals } from "../contracts.ts";
import { createTechnical } from "../technical.ts";
import { shardsOf } from "../shard.ts";
import { BACKLOG } from "./backlog.ts";
import { Outflow } from "./outflow.ts";
import type { Part } from "./part.ts";
import { since, type Station } from "./station.ts";

/** Turns the bars of its shards into signals. */
export function openTechnical(station: Station): Part {
  const { mesh, seat } = station;
  const technical = createTechnical();
  const received = station.received("bars");
  const sent = station.sent("signals");
  const hop = station.latency("bars");
  const outflow = new Outflow(mesh, Signals, (error) => station.fail(error));
  let open = 0;

  async function follow(shard: number): Promise<void> {
    const inflow = station.inflow(FEEDS_PER_SHARD);
    let count = 0;
    await mesh.subscribe(
      Bars,
      (event, context) => {
        if (event.kind === "end") {
          if (!inflow.end(context)) return undefined;
          open -= 1;
          const last = mesh.publish(Signals, { kind: "end", shard, count });
          return open > 0 ? last : last.then(() => station.enter("done"));
        }
        if (!inflow.item(context)) return undefined;
        received.value += 1;
        hop.observe(since(context.sentAt));
        const signal = technical.update(event);
        if (signal === undefined) {
          station.duplicates.value += 1;
          return undefined;
        }
        count += 1;
        sent.value += 1;
        const { dueAt } = event;
        return outflow.publish({ kind: "signal", shard, dueAt, ...signal });
      },
      { where: { shard }, queue: BACKLOG },
    );
  }

  return {
    host: () => mesh.host(agents.technical, { status: () => station.status() }),
    async prepare(plan) {
      const shards = shardsOf(seat, plan.shards);
      open = shards.length;
      await Promise.all(shards.map(follow));
    },
  };
}
