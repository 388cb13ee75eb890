import type { Topic } from "@plexus/core";
import type * as z from "zod";
import type { MacroMonth } from "../macro.ts";
import { Months } from "../topics.ts";
import { follow } from "./follow.ts";
import { Inflow } from "./inflow.ts";
import { Outflow } from "./outflow.ts";
import type { Station } from "./station.ts";

interface ViewEvent<View> {
  kind: "view";
  source: number;
  number: number;
  view: View;
}

interface EndEvent {
  kind: "end";
  source: number;
  number: number;
}

type ViewTopic<View> = Topic<
  z.ZodType<ViewEvent<View> | EndEvent, ViewEvent<View> | EndEvent>,
  "source"
>;

/**
 * Makes views of months. Replicas all follow everything, from all macro sources, and take turns at publishing.
 * @param analyse the views that a month completes, in month order; months may come in any order
 */
export async function openAnalyst<View extends { readonly seq: number }>(
  station: Station,
  sources: number,
  topic: ViewTopic<View>,
  analyse: (month: MacroMonth) => View[],
): Promise<void> {
  const { seat } = station;
  const source = seat.index;
  const received = station.received("months");
  const sent = station.sent("views");
  const hop = station.latency("months");
  const inflow = new Inflow(station, sources);
  const outflow = await Outflow.open(station, topic, { source });

  async function end(): Promise<void> {
    void outflow.publish((number) => ({ kind: "end", source, number }));
    await outflow.settled();
    station.enter("done");
  }

  await follow(station, Months, inflow, (event, { isNew, latencyUs }) => {
    if (event.kind === "end") return inflow.ended ? end() : undefined;
    received.value += 1;
    if (isNew) hop.observe(latencyUs);
    let published: Promise<void> | undefined;
    for (const view of analyse(event)) {
      if (view.seq % seat.of !== seat.index) continue;
      sent.value += 1;
      published = outflow.publish((number) => ({ kind: "view", source, number, view }));
    }
    return published;
  });
}
