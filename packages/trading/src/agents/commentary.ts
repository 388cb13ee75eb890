import type { Models } from "@plexus/llm";
import { agents } from "../contracts.ts";
import { monthIndex } from "../calendar.ts";
import { describeViews, type Note, quarterOf } from "../commentary.ts";
import { InOrder } from "../in-order.ts";
import { MonthlyViews, type Views } from "../monthly-views.ts";
import { Commentary, FundamentalViews, SentimentViews } from "../topics.ts";
import { Ahead } from "./ahead.ts";
import { follow } from "./follow.ts";
import { Inflow } from "./inflow.ts";
import { openDeskModels, reasonOf } from "./models.ts";
import { Outflow } from "./outflow.ts";
import type { Part } from "./part.ts";
import { recorded } from "./recorded.ts";
import type { Station } from "./station.ts";

const SYSTEM =
  "You write the quarterly note of a trading desk: two plain sentences about what the figures say, no advice, no figures of your own.";
/** Notes that are written at once. */
const MAX_WRITING = 8;
/** Months of which only one view may have come. */
const MAX_MONTHS = 2_400;

/**
 * Writes a note about every quarter: with a model, if the environment names one, and by a template whenever that does not
 * answer in time. Nobody waits for it. Replicas take quarters in turn.
 */
export function openCommentary(station: Station): Part {
  const { mesh, seat } = station;
  const source = seat.index;
  const received = station.received("views");
  const sent = station.sent("notes");
  const views = new MonthlyViews(MAX_MONTHS);
  const notes = new InOrder<Note>();
  const ahead = new Ahead(MAX_WRITING, (error) => station.fail(error));
  let models: Models | undefined;

  return {
    host: () => mesh.host(agents.commentary, { status: () => station.status() }),
    close: async () => models?.[Symbol.asyncDispose](),
    async prepare({ replicas, modelWithinMs }) {
      models = await openDeskModels(station, modelWithinMs);
      const known = await writtenNotes(station);
      const outflow = await Outflow.open(station, Commentary, { source });
      const inflows = [
        new Inflow(station, replicas.fundamental),
        new Inflow(station, replicas.sentiment),
      ] as const;

      function publish(note: Note): Promise<void> | undefined {
        let published: Promise<void> | undefined;
        for (const next of notes.push(Math.floor(note.seq / seat.of), note)) {
          station.count(`written:${next.mode}`).value += 1;
          if (next.reason !== undefined) station.count("degraded").value += 1;
          sent.value += 1;
          published = outflow.publish((number) => ({ kind: "note", source, number, note: next }));
        }
        return published;
      }

      function take(month: number): Promise<void> | undefined {
        received.value += 1;
        const complete = views.get(month);
        const quarter = complete && quarterOf(complete.fundamental);
        if (quarter === undefined || quarter % seat.of !== seat.index) return undefined;
        return ahead.add(known.get(quarter) ?? write(models, quarter, complete!), publish);
      }

      async function end(): Promise<void> {
        await ahead.idle();
        void outflow.publish((number) => ({ kind: "end", source, number }));
        await outflow.settled();
        station.enter("done");
      }

      const checkEnd = (): Promise<void> | undefined =>
        inflows.every(({ ended }) => ended) ? end() : undefined;
      await Promise.all([
        follow(station, FundamentalViews, inflows[0], (event) => {
          if (event.kind === "end") return checkEnd();
          const month = monthIndex(event.view.asOf);
          return views.add(month, "fundamental", event.view) ? take(month) : undefined;
        }),
        follow(station, SentimentViews, inflows[1], (event) => {
          if (event.kind === "end") return checkEnd();
          const month = monthIndex(event.view.asOf);
          return views.add(month, "sentiment", event.view) ? take(month) : undefined;
        }),
      ]);
    },
  };
}

/** What this process's predecessor, or another replica, has written already. */
async function writtenNotes({ mesh }: Station): Promise<Map<number, Note>> {
  const found = new Map<number, Note>();
  for (const { event } of await recorded(mesh, Commentary)) {
    if (event.kind === "note") found.set(event.note.seq, event.note);
  }
  return found;
}

function write(models: Models | undefined, seq: number, views: Views): Note | Promise<Note> {
  const { asOf } = views.fundamental;
  const facts = describeViews(views);
  const template = { seq, asOf, mode: "template", text: facts } as const;
  if (models === undefined) return template;
  return models
    .generate(
      "commentary",
      { system: SYSTEM, prompt: facts, temperature: 0 },
      { agent: "commentary" },
    )
    .then(
      ({ text }): Note => ({ seq, asOf, mode: "model", text }),
      (error: unknown): Note => ({ ...template, reason: reasonOf(error) }),
    );
}
