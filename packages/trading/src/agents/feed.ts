import { agents, Bars } from "../contracts.ts";
import { loadDataset } from "../dataset.ts";
import { type FeedSchedule, feedSchedule } from "../feed-schedule.ts";
import type { Instrument } from "../instrument.ts";
import type { RunPlan } from "../run-plan.ts";
import { shardOf, shardsOf } from "../shard.ts";
import { Pace } from "./pace.ts";
import type { Part } from "./part.ts";
import { since, type Station } from "./station.ts";

/** Publishes the bars of its instruments, each when it is due, and then says how many there were. */
export function openFeed(station: Station, role: "index" | "stocks"): Part {
  const { mesh, seat } = station;
  const sent = station.sent("bars");
  const late = station.latency("late");
  const counts = new Map<number, number>();
  let pace: Pace | undefined;

  async function publishEnds(): Promise<void> {
    for (const [shard, count] of counts) {
      // oxlint-disable-next-line no-await-in-loop -- a handful, in order
      await mesh.publish(Bars, { kind: "end", shard, count });
    }
    station.enter("done");
  }

  return {
    host: () => mesh.host(agents[role], { status: () => station.status() }),
    async prepare(plan) {
      const schedule = feedSchedule(loadDataset(), plan);
      const mine = instrumentsOf(role, schedule, plan);
      for (const shard of shardsOf(seat, plan.shards)) counts.set(shard, 0);
      pace = new Pace(
        (position, dueAt) => {
          const { instrument, seq } = schedule.at(position);
          const shard = mine.get(instrument);
          const count = shard === undefined ? undefined : counts.get(shard);
          if (shard === undefined || count === undefined) return undefined;
          counts.set(shard, count + 1);
          sent.value += 1;
          late.observe(since(dueAt));
          return mesh.publish(Bars, { kind: "bar", shard, dueAt, ...instrument.bar(seq) });
        },
        plan.rate,
        plan.bars,
      );
    },
    start(startAtUs) {
      station.enter("running");
      pace
        ?.run(startAtUs)
        .then(publishEnds)
        .catch((error: unknown) => station.fail(error));
    },
    stop: (limit) => pace?.stop(limit),
  };
}

/** The instruments of a role with their shards: real ones by their interval, synthetic ones by turns. */
function instrumentsOf(
  role: "index" | "stocks",
  { instruments }: FeedSchedule,
  { symbols, shards }: RunPlan,
): Map<Instrument, number> {
  const mine = instruments.filter((instrument, index) =>
    symbols === 0
      ? (instrument.interval === "daily") === (role === "index")
      : (index % 2 === 0) === (role === "index"),
  );
  return new Map(mine.map((instrument) => [instrument, shardOf(instrument.symbol, shards)]));
}
