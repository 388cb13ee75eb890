import { agents, Closes, Employment, Headlines } from "../contracts.ts";
import { loadDataset } from "../dataset.ts";
import { feedSchedule } from "../feed-schedule.ts";
import { macroCalendar } from "../macro.ts";
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
  let months = 0;
  let pace: Pace | undefined;

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
    prepare(plan) {
      const dataset = loadDataset();
      const schedule = feedSchedule(dataset, plan);
      const calendar = macroCalendar(dataset);
      const publishMonth = async (): Promise<void> => {
        const { employment, stocks, headlines } = calendar.at(months);
        const isMine = months % seat.of === seat.index;
        months += 1;
        if (!isMine) return;
        count += 1;
        sent.value += 3;
        await Promise.all([
          mesh.publish(Employment, { kind: "month", ...employment }),
          mesh.publish(Closes, { kind: "month", ...stocks }),
          mesh.publish(Headlines, { kind: "month", ...headlines }),
        ]);
      };
      const publishUntil = async (needed: number): Promise<void> => {
        // oxlint-disable-next-line no-await-in-loop -- in order
        while (months < needed) await publishMonth();
      };
      let day = "";
      pace = new Pace(
        (position) => {
          const { instrument, seq } = schedule.at(position);
          const { date } = instrument.bar(seq);
          if (date === day) return undefined;
          day = date;
          const needed = calendar.monthsBefore(date);
          return months < needed ? publishUntil(needed) : undefined;
        },
        plan.rate,
        plan.bars,
      );
      return Promise.resolve();
    },
    start(startAtUs) {
      station.enter("running");
      pace
        ?.run(startAtUs, LEAD_US)
        .then(publishEnds)
        .catch((error: unknown) => station.fail(error));
    },
    stop: (limit) => pace?.stop(limit),
  };
}
