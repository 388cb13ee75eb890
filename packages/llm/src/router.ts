import type { Random } from "@plexus/core";

/** How a group's deployments share its calls. */
export type Strategy = "weighted" | "leastBusy" | "lowestLatency" | "lowestCost" | "usageBased";

/** What a router knows of a deployment. */
export interface Candidate {
  readonly id: string;
  /** Relative share; more than 0. */
  readonly weight: number;
  /** Calls under way. */
  readonly busy: number;
  /** Moving average of the time an answer takes; undefined: nobody knows yet. */
  readonly latencyMs: number | undefined;
  /** US dollars for a typical call. */
  readonly cost: number;
  /** What is left of its rate limits, 0 to 1; of several, the least. */
  readonly headroom: number;
}

/** Two deployments this close to each other are as good. */
const NEAR = 1.15;

/**
 * The order in which to try a group's deployments: the best first, the rest as fallbacks. Pure. Ties are broken by chance, so that
 * processes that know the same do not all choose the same.
 */
export function rank<C extends Candidate>(
  strategy: Strategy,
  candidates: readonly C[],
  random: Random,
): C[] {
  if (candidates.length < 2) return [...candidates];
  if (strategy === "weighted") return byWeight(candidates, random);
  const score = scores[strategy];
  const scored = shuffled(candidates, random).map((candidate) => ({
    candidate,
    score: score(candidate),
  }));
  scored.sort((a, b) => a.score - b.score);
  // Those that are near the best share: the very best would otherwise get every call until it is not any more.
  const near = scored.filter((one) => one.score <= scored[0]!.score * NEAR).length;
  const first = near > 1 ? Math.floor(random() * near) : 0;
  const [chosen] = scored.splice(first, 1);
  return [chosen!, ...scored].map(({ candidate }) => candidate);
}

/** The lower, the better; never negative. */
const scores: Record<Exclude<Strategy, "weighted">, (candidate: Candidate) => number> = {
  leastBusy: ({ busy, weight }) => busy / weight,
  // Who is unknown is tried; who is fast but has much to do is not the fastest (peak EWMA, as Finagle's).
  lowestLatency: ({ latencyMs = 0, busy }) => latencyMs * (busy + 1),
  lowestCost: ({ cost }) => cost,
  usageBased: ({ headroom }) => 1 - headroom,
};

/** A random order in which each one's chance to be the next is its share of the weight that is left. */
function byWeight<C extends Candidate>(candidates: readonly C[], random: Random): C[] {
  // Efraimidis and Spirakis, Weighted random sampling with a reservoir, 2006: sort by u^(1/w).
  return candidates
    .map((candidate) => ({ candidate, key: Math.log(1 - random()) / candidate.weight }))
    .toSorted((a, b) => b.key - a.key)
    .map(({ candidate }) => candidate);
}

function shuffled<T>(values: readonly T[], random: Random): T[] {
  const result = [...values];
  for (let i = result.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [result[i], result[j]] = [result[j]!, result[i]!];
  }
  return result;
}
