import type { Role } from "../run-plan.ts";
import type { Part } from "./part.ts";
import type { Station } from "./station.ts";

type OpenPart = (station: Station) => Part;

/** Loads what a role needs and nothing else, so that a dozen processes start quickly. */
export async function loadRole(role: Role): Promise<OpenPart> {
  switch (role) {
    case "index":
    case "stocks": {
      const { openFeed } = await import("./feed.ts");
      return (station) => openFeed(station, role);
    }
    case "macro":
      return (await import("./macro.ts")).openMacro;
    case "technical":
      return (await import("./technical.ts")).openTechnical;
    case "fundamental":
      return (await import("./fundamental.ts")).openFundamental;
    case "sentiment":
      return (await import("./sentiment.ts")).openSentiment;
    case "trend":
    case "reversion":
    case "regime": {
      const { openStrategy } = await import("./strategy.ts");
      return (station) => openStrategy(station, role);
    }
    case "risk":
      return (await import("./risk.ts")).openRisk;
    case "order":
      return (await import("./order.ts")).openOrder;
    case "portfolio":
      return (await import("./portfolio.ts")).openPortfolio;
  }
}
