import { agents, Closes, Employment, Headlines } from "../contracts.ts";
import { loadDataset } from "../dataset.ts";
import { feedSchedule } from "../feed-schedule.ts";
import { type MacroMonth, macroCalendar } from "../macro.ts";
import { Pace } from "./pace.ts";
import type { Part } from "./part.ts";
import type { Station } from "./station.ts";

/** Strategies need a month's views with the first bar of the next month; they have this much time to be made. */
const LEAD_US = 100_000;

/** Publishes the monthly data that the bars need, a little ahead of them. Replicas take months in turn. */
export function openMacro(station: Station): Part {
  const { mesh, seat } = station;
  const sent = station.sent("months");
  let count = 0;
  let stride = 1;
  let pace: Pace | undefined;

  async function publish({ employment, stocks, headlines }: MacroMonth): Promise<void> {
    count += 1;
    sent.value += 3;
    await Promise.all([
      mesh.publish(Employment, { kind: "month", ...employment }),
      mesh.publish(Closes, { kind: "month", ...stocks }),
      mesh.publish(Headlines, { kind: "month", ...headlines }),
    ]);
  }

  async function publishEnds(): Promise<void> {
    const end = { kind: "end", count } as const;
    await Promise.all([
      mesh.publish(Employment, end),
      mesh.publish(Closes, end),
      mesh.publish(Headlines, end),
    ]);
    station.enter("done");
  }

  return {
    host: () => mesh.host(agents.macro, { status: () => station.status() }),
    async prepare(plan) {
      const dataset = loadDataset();
      const schedule = feedSchedule(dataset, plan);
      const calendar = macroCalendar(dataset);
      let months = 0;
      ({ stride } = schedule);
      pace = new Pace(
        (step) => {
          const { instrument, seq } = schedule.at(step * stride);
          const needed = calendar.monthsBefore(instrument.bar(seq).date);
          const published: Promise<void>[] = [];
          for (; months < needed; months += 1) {
            if (months % seat.of === seat.index) published.push(publish(calendar.at(months)));
          }
          return published.length === 0 ? undefined : settle(published);
        },
        plan.rate / stride,
        Math.ceil(plan.bars / stride),
      );
    },
    start(startAtUs) {
      station.enter("running");
      pace
        ?.run(startAtUs, LEAD_US)
        .then(publishEnds)
        .catch((error: unknown) => station.fail(error));
    },
    stop: (limit) => pace?.stop(Math.ceil(limit / stride)),
  };
}

async function settle(published: readonly Promise<void>[]): Promise<void> {
  await Promise.all(published);
}
