import { agents, Headlines, SentimentViews } from "../contracts.ts";
import { createSentiment } from "../sentiment.ts";
import type { Part } from "./part.ts";
import { since, type Station } from "./station.ts";

/** Scores the headlines with the word list. Replicas all follow everything and take turns at publishing. */
export function openSentiment(station: Station): Part {
  const { mesh, seat } = station;
  const sentiment = createSentiment();
  const received = station.received("headlines");
  const sent = station.sent("views");
  const hop = station.latency("months");

  return {
    host: () => mesh.host(agents.sentiment, { status: () => station.status() }),
    async prepare({ replicas }) {
      const inflow = station.inflow(replicas.macro);
      await mesh.subscribe(Headlines, async (event, context) => {
        if (event.kind === "end") {
          if (!inflow.end(context)) return;
          await mesh.publish(SentimentViews, { kind: "end", count: sent.value });
          station.enter("done");
          return;
        }
        if (!inflow.item(context)) return;
        received.value += 1;
        hop.observe(since(context.sentAt));
        const mine = sentiment.update(event).filter(({ seq }) => seq % seat.of === seat.index);
        sent.value += mine.length;
        await Promise.all(
          mine.map((view) => mesh.publish(SentimentViews, { kind: "view", ...view })),
        );
      });
    },
  };
}
