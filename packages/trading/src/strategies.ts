import type { StrategyName } from "./decision.ts";
import { regime } from "./regime.ts";
import { reversion } from "./reversion.ts";
import type { StrategySpec } from "./strategy.ts";
import { trend } from "./trend.ts";

/** The three strategies by name, in the order in which reports list them. */
export const strategies: Readonly<Record<StrategyName, StrategySpec>> = {
  trend,
  reversion,
  regime,
};
