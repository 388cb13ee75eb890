import { agents } from "../contracts.ts";
import { shardsOf } from "../shard.ts";
import { createTechnical } from "../technical.ts";
import { Bars, type Feed, FEEDS, Signals } from "../topics.ts";
import { follow } from "./follow.ts";
import { Inflow } from "./inflow.ts";
import { Outflow } from "./outflow.ts";
import type { Part } from "./part.ts";
import type { Station } from "./station.ts";

/** Turns the bars of its shards into signals: one event of signals for each event of bars. */
export function openTechnical(station: Station): Part {
  const { mesh, seat } = station;
  const technical = createTechnical();
  const received = station.received("bars");
  const sent = station.sent("signals");
  const hop = station.latency("bars");

  async function serve(shard: number, inflow: Inflow): Promise<void> {
    const outflows = {
      index: await Outflow.open(station, Signals, { feed: "index", shard }),
      stocks: await Outflow.open(station, Signals, { feed: "stocks", shard }),
    };
    await follow(
      station,
      Bars,
      inflow,
      (event, { isNew, latencyUs }) => {
        const { feed } = event;
        const outflow = outflows[feed];
        if (event.kind === "end") return end(outflow, feed, shard, inflow);
        received.value += event.bars.length;
        const signals = event.bars.flatMap((bar) => {
          if (isNew) hop.observe(latencyUs);
          const signal = technical.update(bar);
          return signal === undefined ? [] : [Object.assign(signal, { dueAt: bar.dueAt })];
        });
        sent.value += signals.length;
        return outflow.publish((number) => ({ kind: "signals", feed, shard, number, signals }));
      },
      { shard },
    );
  }

  async function end(
    outflow: Outflow<typeof Signals>,
    feed: Feed,
    shard: number,
    inflow: Inflow,
  ): Promise<void> {
    void outflow.publish((number) => ({ kind: "end", feed, shard, number }));
    await outflow.settled();
    if (inflow.ended) station.enter("done");
  }

  return {
    host: () => mesh.host(agents.technical, { status: () => station.status() }),
    async prepare(plan) {
      const shards = shardsOf(seat, plan.shards);
      const inflow = new Inflow(station, shards.length * FEEDS.length);
      await Promise.all(shards.map((shard) => serve(shard, inflow)));
    },
  };
}
