import { agents } from "../contracts.ts";
import { loadDataset } from "../dataset.ts";
import { feedSchedule } from "../feed-schedule.ts";
import { macroCalendar } from "../macro.ts";
import { Months } from "../topics.ts";
import { Outflow } from "./outflow.ts";
import { Pace } from "./pace.ts";
import type { Part } from "./part.ts";
import type { Station } from "./station.ts";

/** Strategies need a month's views with the first bar of the next month; they have this much time to be made. */
const LEAD_US = 100_000;

/** Publishes the monthly data that the bars need, a little ahead of them. Replicas take months in turn. */
export function openMacro(station: Station): Part {
  const { mesh, seat } = station;
  const source = seat.index;
  const sent = station.sent("months");
  let stride = 1;
  let pace: Pace | undefined;
  let outflow: Outflow<typeof Months> | undefined;

  async function end(): Promise<void> {
    void outflow?.publish((number) => ({ kind: "end", source, number }));
    await outflow?.settled();
    station.enter("done");
  }

  return {
    host: () => mesh.host(agents.macro, { status: () => station.status() }),
    async prepare(plan) {
      const own = await Outflow.open(station, Months, { source });
      const dataset = loadDataset();
      const schedule = feedSchedule(dataset, plan);
      const calendar = macroCalendar(dataset);
      let months = 0;
      ({ stride } = schedule);
      outflow = own;
      pace = new Pace(
        (step) => {
          const { instrument, seq } = schedule.at(step * stride);
          const needed = calendar.monthsBefore(instrument.bar(seq).date);
          let published: Promise<void> | undefined;
          for (; months < needed; months += 1) {
            if (months % seat.of !== seat.index) continue;
            sent.value += 1;
            const month = calendar.at(months);
            published = own.publish((number) => ({ kind: "month", source, number, ...month }));
          }
          return published;
        },
        plan.rate / stride,
        Math.ceil(plan.bars / stride),
      );
    },
    start(startAtUs) {
      station.enter("running");
      pace
        ?.run(startAtUs, LEAD_US)
        .then(end)
        .catch((error: unknown) => station.fail(error));
    },
    stop: (limit) => pace?.stop(Math.ceil(limit / stride)),
  };
}
