import { agents } from "../contracts.ts";
import { createFundamental } from "../fundamental.ts";
import { FundamentalViews } from "../topics.ts";
import type { Part } from "./part.ts";
import type { Station } from "./station.ts";
import { openAnalyst } from "./monthly-analyst.ts";

/** Reads the economy month by month. */
export function openFundamental(station: Station): Part {
  const fundamental = createFundamental();
  return {
    host: () => station.mesh.host(agents.fundamental, { status: () => station.status() }),
    prepare: ({ replicas }) =>
      openAnalyst(station, replicas.macro, FundamentalViews, {
        read: () => undefined,
        fold: ({ employment, stocks }) => [
          ...fundamental.employment(employment),
          ...fundamental.stocks(stocks),
        ],
      }),
  };
}
