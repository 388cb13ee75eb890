import type { Models } from "@plexus/llm";
import * as z from "zod";
import { agents } from "../contracts.ts";
import type { HeadlineDigest, MacroMonth } from "../macro.ts";
import { createSentiment, lexiconReading, mean, type Reading } from "../sentiment.ts";
import { SentimentViews } from "../topics.ts";
import { openDeskModels, reasonOf } from "./models.ts";
import { openAnalyst } from "./monthly-analyst.ts";
import type { Part } from "./part.ts";
import { recorded } from "./recorded.ts";
import type { Station } from "./station.ts";

const SYSTEM =
  "You score market headlines for a trading desk. Answer with one number for each headline, in their order: " +
  "-1 is very bad for share prices, 0 is neutral, 1 is very good.";

/**
 * Reads the headlines of each month: with a model, if the environment names one, and with the word list whenever that does
 * not answer in time. What is recorded stays as it was read, whoever begins anew.
 */
export function openSentiment(station: Station): Part {
  const { mesh, seat } = station;
  const sentiment = createSentiment();
  let models: Models | undefined;
  return {
    host: () => mesh.host(agents.sentiment, { status: () => station.status() }),
    close: async () => models?.[Symbol.asyncDispose](),
    async prepare({ replicas, modelWithinMs }) {
      models = await openDeskModels(station, modelWithinMs);
      const known = models === undefined ? new Map<number, Reading>() : await readings(station);
      await openAnalyst(station, replicas.macro, SentimentViews, {
        read: ({ headlines }: MacroMonth): Reading | Promise<Reading> =>
          known.get(headlines.seq) ??
          (models === undefined || headlines.headlines.length === 0
            ? lexiconReading(headlines)
            : ask(models, headlines)),
        fold({ headlines }, reading) {
          const isOurs = headlines.seq % seat.of === seat.index;
          if (isOurs && headlines.headlines.length > 0) {
            station.count(`read:${reading.mode}`).value += 1;
            if (reading.reason !== undefined) station.count("degraded").value += 1;
          }
          return sentiment.update(headlines, reading);
        },
      });
    },
  };
}

/** What this process's predecessor, or another replica, has read already. */
async function readings({ mesh }: Station): Promise<Map<number, Reading>> {
  const found = new Map<number, Reading>();
  for (const { event } of await recorded(mesh, SentimentViews)) {
    if (event.kind === "end") continue;
    const { seq, mode, score, reason } = event.view;
    found.set(seq, { mode, score, ...(reason === undefined ? {} : { reason }) });
  }
  return found;
}

async function ask(models: Models, digest: HeadlineDigest): Promise<Reading> {
  const { headlines } = digest;
  const schema = z.object({
    scores: z.array(z.number().min(-1).max(1)).length(headlines.length),
  });
  const prompt = headlines.map(({ text }, index) => `${index + 1}. ${text}`).join("\n");
  try {
    const { object } = await models.object(
      "sentiment",
      { system: SYSTEM, prompt, schema, temperature: 0 },
      { agent: "sentiment" },
    );
    return { mode: "model", score: mean(object.scores) };
  } catch (error) {
    return { ...lexiconReading(digest), reason: reasonOf(error) };
  }
}
