import type * as z from "zod";
import { agents } from "../contracts.ts";
import { loadDataset } from "../dataset.ts";
import { type FeedSchedule, feedSchedule } from "../feed-schedule.ts";
import type { Instrument } from "../instrument.ts";
import { type RunPlan, slotsPerEvent } from "../run-plan.ts";
import { shardOf, shardsOf } from "../shard.ts";
import { Bars, type Feed } from "../topics.ts";
import { Outflow } from "./outflow.ts";
import { Pace } from "./pace.ts";
import type { Part } from "./part.ts";
import { since, type Station } from "./station.ts";

type BarEvent = Extract<z.infer<(typeof Bars)["schema"]>, { kind: "bars" }>;

/** What one shard gets of this feed. */
interface Lane {
  readonly shard: number;
  readonly outflow: Outflow<typeof Bars>;
  /** The bars that fall due together. */
  bars: BarEvent["bars"];
  size: number;
}

const PUBLISHED = Promise.resolve();

/** Publishes the bars of its instruments when they are due, and then says that there are no more. */
export function openFeed(station: Station, feed: Feed): Part {
  const { mesh, seat } = station;
  const sent = station.sent("bars");
  const late = station.latency("late");
  const lanes = new Map<number, Lane>();
  let pace: Pace | undefined;

  function publish(lane: Lane): Promise<void> | undefined {
    const { shard, bars, outflow } = lane;
    for (const { dueAt } of bars) late.observe(since(dueAt));
    lane.bars = [];
    lane.size = 0;
    return outflow.publish((number) => ({ kind: "bars", feed, shard, number, bars }));
  }

  function flush(): Promise<void> | undefined {
    let published: Promise<void> | undefined;
    for (const lane of lanes.values()) {
      if (lane.size === 0) continue;
      const isNew = lane.bars.length > 0;
      const pressure = publish(lane);
      if (isNew) published = pressure ?? published ?? PUBLISHED;
    }
    return published;
  }

  async function end(): Promise<void> {
    await flush();
    for (const { shard, outflow } of lanes.values()) {
      void outflow.publish((number) => ({ kind: "end", feed, shard, number }));
    }
    await Promise.all([...lanes.values()].map(({ outflow }) => outflow.settled()));
    station.enter("done");
  }

  return {
    host: () => mesh.host(agents[feed], { status: () => station.status() }),
    async prepare(plan) {
      await Promise.all(
        shardsOf(seat, plan.shards).map(async (shard) => {
          const outflow = await Outflow.open(station, Bars, { feed, shard });
          lanes.set(shard, { shard, outflow, bars: [], size: 0 });
        }),
      );
      const schedule = feedSchedule(loadDataset(), plan);
      const laneOf = new Map(
        instrumentsOf(feed, schedule, plan).map((instrument) => [
          instrument,
          lanes.get(shardOf(instrument.symbol, plan.shards)),
        ]),
      );
      const together = slotsPerEvent(plan.rate);
      pace = new Pace(
        (position, dueAt) => {
          const { instrument, seq } = schedule.at(position);
          const lane = laneOf.get(instrument);
          if (lane !== undefined) {
            sent.value += 1;
            lane.size += 1;
            if (!lane.outflow.isBehind) lane.bars.push({ ...instrument.bar(seq), dueAt });
          }
          return (position + 1) % together === 0 ? flush() : undefined;
        },
        plan.rate,
        plan.bars,
      );
    },
    start(startAtUs) {
      station.enter("running");
      pace
        ?.run(startAtUs)
        .then(end)
        .catch((error: unknown) => station.fail(error));
    },
    stop: (limit) => pace?.stop(limit),
  };
}

/** The instruments of a role: real ones by their interval, synthetic ones by turns. */
function instrumentsOf(
  feed: Feed,
  { instruments }: FeedSchedule,
  { symbols }: RunPlan,
): Instrument[] {
  return instruments.filter((instrument, index) =>
    symbols === 0
      ? (instrument.interval === "daily") === (feed === "index")
      : (index % 2 === 0) === (feed === "index"),
  );
}
