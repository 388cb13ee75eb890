import type { StrategyName } from "../decision.ts";
import type { Role } from "../run-plan.ts";
import type { Part } from "./part.ts";
import type { Station } from "./station.ts";

type OpenPart = (station: Station) => Part;

/** Loads what a role needs and nothing else, so that a dozen processes start quickly. */
const loaders: Readonly<Record<Role, () => Promise<OpenPart>>> = {
  index: () => loadFeed("index"),
  stocks: () => loadFeed("stocks"),
  macro: async () => (await import("./macro.ts")).openMacro,
  technical: async () => (await import("./technical.ts")).openTechnical,
  fundamental: async () => (await import("./fundamental.ts")).openFundamental,
  sentiment: async () => (await import("./sentiment.ts")).openSentiment,
  commentary: async () => (await import("./commentary.ts")).openCommentary,
  trend: () => loadStrategy("trend"),
  reversion: () => loadStrategy("reversion"),
  regime: () => loadStrategy("regime"),
  risk: async () => (await import("./risk.ts")).openRisk,
  order: async () => (await import("./order.ts")).openOrder,
  portfolio: async () => (await import("./portfolio.ts")).openPortfolio,
};

export function loadRole(role: Role): Promise<OpenPart> {
  return loaders[role]();
}

async function loadFeed(role: "index" | "stocks"): Promise<OpenPart> {
  const { openFeed } = await import("./feed.ts");
  return (station) => openFeed(station, role);
}

async function loadStrategy(name: StrategyName): Promise<OpenPart> {
  const { openStrategy } = await import("./strategy.ts");
  return (station) => openStrategy(station, name);
}
