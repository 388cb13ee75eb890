import type { Topic } from "@plexus/core";
import type * as z from "zod";
import type { MacroMonth } from "../macro.ts";
import { Months } from "../topics.ts";
import { Ahead } from "./ahead.ts";
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

/** How an analyst comes from months to views. */
export interface Analysis<View, Reading> {
  /** What takes time; of a few months at once. */
  read(month: MacroMonth): Reading | Promise<Reading>;
  /** The views that a month completes, in month order; months may come in any order. */
  fold(month: MacroMonth, reading: Reading): View[];
}

/** Months that are read at once. */
const MAX_READING = 8;

/** Makes views of months. Replicas all follow everything, from all macro sources, and take turns at publishing. */
export async function openAnalyst<View extends { readonly seq: number }, Reading>(
  station: Station,
  sources: number,
  topic: ViewTopic<View>,
  analysis: Analysis<View, Reading>,
): Promise<void> {
  const { seat } = station;
  const source = seat.index;
  const received = station.received("months");
  const sent = station.sent("views");
  const hop = station.latency("months");
  const inflow = new Inflow(station, sources);
  const outflow = await Outflow.open(station, topic, { source });
  const ahead = new Ahead(MAX_READING, (error) => station.fail(error));

  async function end(): Promise<void> {
    await ahead.idle();
    void outflow.publish((number) => ({ kind: "end", source, number }));
    await outflow.settled();
    station.enter("done");
  }

  function publish(month: MacroMonth, reading: Reading): Promise<void> | undefined {
    let published: Promise<void> | undefined;
    for (const view of analysis.fold(month, reading)) {
      if (view.seq % seat.of !== seat.index) continue;
      sent.value += 1;
      published = outflow.publish((number) => ({ kind: "view", source, number, view }));
    }
    return published;
  }

  await follow(station, Months, inflow, (event, { isNew, latencyUs }) => {
    if (event.kind === "end") return inflow.ended ? end() : undefined;
    received.value += 1;
    if (isNew) hop.observe(latencyUs);
    return ahead.add(analysis.read(event), (reading) => publish(event, reading));
  });
}
