import { agents } from "../contracts.ts";
import { createSentiment } from "../sentiment.ts";
import { SentimentViews } from "../topics.ts";
import { openAnalyst } from "./monthly-analyst.ts";
import type { Part } from "./part.ts";
import type { Station } from "./station.ts";

/** Scores the headlines of each month with the word list. */
export function openSentiment(station: Station): Part {
  const sentiment = createSentiment();
  return {
    host: () => station.mesh.host(agents.sentiment, { status: () => station.status() }),
    prepare: ({ replicas }) =>
      openAnalyst(station, replicas.macro, SentimentViews, ({ headlines }) =>
        sentiment.update(headlines),
      ),
  };
}
