import { MeshError } from "./errors.ts";
import type { Strategy, StrategyRule } from "./workspace-model.ts";
import { matchesGlob } from "./workspace-path.ts";

/** Every way to decide between two versions of a file. */
export const STRATEGIES = [
  "reject",
  "lastWriterWins",
  "merge",
  "semantic",
  "vote",
  "escalate",
] as const;

export type StrategyName = (typeof STRATEGIES)[number];

/** What is decided at once by whoever owns the workspace; the rest needs agents or a person. */
const PURE: ReadonlySet<StrategyName> = new Set(["reject", "lastWriterWins", "merge"]);

export function isPure(strategy: StrategyName): boolean {
  return PURE.has(strategy);
}

/** The strategy for a path: the commit's own, else that of the first rule that matches, else `reject`. */
export function strategyFor(
  path: string,
  own: Strategy | undefined,
  rules: readonly StrategyRule[],
): Strategy {
  if (own !== undefined) return own;
  const rule = rules.find(({ paths }) => matchesGlob(path, paths));
  if (rule === undefined) return { strategy: "reject" };
  const { paths: _, ...strategy } = rule;
  return strategy;
}

/** Throws `INVALID_INPUT` for a strategy whose parts do not fit together. */
export function demandStrategy(strategy: Strategy): Strategy {
  const { strategy: name, otherwise, voters } = strategy;
  const refuse = (why: string): never => {
    throw new MeshError("INVALID_INPUT", `Strategy ${name}: ${why}.`);
  };
  if (name === "vote" && voters === undefined)
    return refuse('"voters" says how many ballots decide');
  if (otherwise === name) return refuse('"otherwise" must be another one');
  if (otherwise === "vote") return refuse('"otherwise" cannot be a vote');
  if (name === "vote" && otherwise === "semantic") return refuse('"otherwise" cannot be semantic');
  return strategy;
}
