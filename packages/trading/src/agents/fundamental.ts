import type { EventContext } from "@plexus/mesh";
import { agents, Closes, Employment, FundamentalViews } from "../contracts.ts";
import type { FundamentalView } from "../fundamental-view.ts";
import { createFundamental } from "../fundamental.ts";
import type { Part } from "./part.ts";
import { since, type Station } from "./station.ts";

/** Reads the economy month by month. Replicas all follow everything and take turns at publishing. */
export function openFundamental(station: Station): Part {
  const { mesh, seat } = station;
  const fundamental = createFundamental();
  const received = station.received("months");
  const sent = station.sent("views");
  const hop = station.latency("months");

  async function publish(views: readonly FundamentalView[]): Promise<void> {
    const mine = views.filter(({ seq }) => seq % seat.of === seat.index);
    sent.value += mine.length;
    await Promise.all(
      mine.map((view) => mesh.publish(FundamentalViews, { kind: "view", ...view })),
    );
  }

  return {
    host: () => mesh.host(agents.fundamental, { status: () => station.status() }),
    async prepare({ replicas }) {
      const inflow = station.inflow(replicas.macro * 2);
      const end = async (context: EventContext): Promise<void> => {
        if (!inflow.end(context)) return;
        await mesh.publish(FundamentalViews, { kind: "end", count: sent.value });
        station.enter("done");
      };
      const isNew = (context: EventContext): boolean => {
        if (!inflow.item(context)) return false;
        received.value += 1;
        hop.observe(since(context.sentAt));
        return true;
      };
      await Promise.all([
        mesh.subscribe(Employment, (event, context) => {
          if (event.kind === "end") return end(context);
          return isNew(context) ? publish(fundamental.employment(event)) : undefined;
        }),
        mesh.subscribe(Closes, (event, context) => {
          if (event.kind === "end") return end(context);
          return isNew(context) ? publish(fundamental.stocks(event)) : undefined;
        }),
      ]);
    },
  };
}
