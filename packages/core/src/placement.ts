import type { Random } from "./clock.ts";
import { MeshError, quote } from "./errors.ts";
import { buildRing, effectiveWeight, type Ring, type RingMember } from "./ring.ts";

/** The names of the strategies that choose an instance for a call. */
export const PLACEMENTS = [
  "roundRobin",
  "weightedRoundRobin",
  "leastOutstanding",
  "peakEwma",
  "consistentHash",
] as const;

export type PlacementName = (typeof PLACEMENTS)[number];

/**
 * How calls are placed: a strategy's name, or the consistent hash with its bound: an instance takes at most
 * `loadFactor` times the mean outstanding calls before its keys spill over to the next one. The default is 1.25;
 * `Infinity` never spills, so that a key stays with its owner.
 */
export type PlacementSpec =
  | PlacementName
  | { readonly strategy: "consistentHash"; readonly loadFactor: number };

/** What a placement knows of one live instance. The caller keeps these figures up to date. */
export interface Candidate extends RingMember {
  /** Calls of this process that the instance has not answered yet. */
  outstanding: number;
  /** Load from other callers, as the instance reported it last. */
  others: number;
  /** Peak-sensitive moving average of the response time in ms, faded by {@link peakEwma}; 0 while unknown. */
  ewmaMs: number;
}

/** Chooses one of the candidates. Holds whatever state its strategy needs between picks. */
export interface Placement {
  readonly name: PlacementName;
  /** `candidates` is never empty and keeps its identity while the membership does not change. */
  pick(candidates: readonly Candidate[], key: string | undefined, random: Random): Candidate;
}

/** Makes a placement. Throws `INVALID_CONTRACT` for a name that does not exist. */
export function createPlacement(spec: PlacementSpec): Placement {
  const name = typeof spec === "string" ? spec : spec.strategy;
  switch (name) {
    case "roundRobin":
      return roundRobin();
    case "weightedRoundRobin":
      return weightedRoundRobin();
    case "leastOutstanding":
      return twoChoices(name, (c) => (c.outstanding + c.others) / effectiveWeight(c));
    case "peakEwma":
      // Unmeasured instances cost 0 until they carry a call, so each is tried soon and not flooded.
      return twoChoices(name, (c) =>
        c.ewmaMs === 0
          ? c.outstanding * UNMEASURED_MS
          : (c.ewmaMs * (c.outstanding + c.others + 1)) / effectiveWeight(c),
      );
    case "consistentHash":
      return consistentHash(typeof spec === "string" ? 1.25 : spec.loadFactor);
    default:
      throw new MeshError(
        "INVALID_CONTRACT",
        `${quote(name)} is not a placement: use ${PLACEMENTS.join(", ")}.`,
      );
  }
}

const UNMEASURED_MS = 1_000;

function roundRobin(): Placement {
  let turn: number | undefined; // begins anywhere, lest a thousand callers all begin with the same instance
  return {
    name: "roundRobin",
    pick(candidates, _key, random) {
      turn = turn === undefined ? Math.floor(random() * candidates.length) : turn + 1;
      return candidates[turn % candidates.length]!;
    },
  };
}

/** Smooth weighted round robin, as in nginx: heavy instances are spread out, never picked in bursts. */
function weightedRoundRobin(): Placement {
  const credit = new Map<string, number>();
  let members: readonly Candidate[] = [];
  return {
    name: "weightedRoundRobin",
    pick(candidates) {
      if (candidates !== members) {
        members = candidates;
        const alive = new Set(candidates.map((c) => c.id));
        for (const id of credit.keys()) if (!alive.has(id)) credit.delete(id);
      }
      let total = 0;
      let best = candidates[0]!;
      let bestCredit = -Infinity;
      for (const candidate of candidates) {
        const weight = effectiveWeight(candidate);
        const own = (credit.get(candidate.id) ?? 0) + weight;
        credit.set(candidate.id, own);
        total += weight;
        if (own > bestCredit) {
          best = candidate;
          bestCredit = own;
        }
      }
      credit.set(best.id, bestCredit - total);
      return best;
    },
  };
}

/** The power of two choices (Mitzenmacher 2001): of two random instances, the cheaper one. */
function twoChoices(name: PlacementName, cost: (candidate: Candidate) => number): Placement {
  return {
    name,
    pick(candidates, _key, random) {
      const { length } = candidates;
      if (length === 1) return candidates[0]!;
      const first = Math.floor(random() * length);
      const second = (first + 1 + Math.floor(random() * (length - 1))) % length;
      const a = candidates[first]!;
      const b = candidates[second]!;
      return cost(b) < cost(a) ? b : a;
    },
  };
}

/** Consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam 2017). */
function consistentHash(loadFactor: number): Placement {
  if (!(loadFactor >= 1)) {
    throw new MeshError("INVALID_CONTRACT", `loadFactor must be 1 or more, not ${loadFactor}.`);
  }
  let members: readonly Candidate[] | undefined;
  let ring: Ring<Candidate> | undefined;
  return {
    name: "consistentHash",
    pick(candidates, key) {
      if (key === undefined) {
        throw new MeshError(
          "INVALID_CONTRACT",
          "consistentHash placement needs a key: pass { key } with the call.",
        );
      }
      if (ring === undefined || members !== candidates) {
        members = candidates;
        ring = buildRing(candidates);
      }
      if (loadFactor === Infinity) return ring.owner(key)!;
      let outstanding = 1;
      let weight = 0;
      for (const candidate of candidates) {
        outstanding += candidate.outstanding;
        weight += effectiveWeight(candidate);
      }
      for (const candidate of ring.successors(key)) {
        const bound = Math.ceil((loadFactor * outstanding * effectiveWeight(candidate)) / weight);
        if (candidate.outstanding < bound) return candidate;
      }
      return ring.owner(key)!;
    },
  };
}

const EWMA_DECAY_MS = 10_000;

/**
 * The next value of a peak-sensitive moving average (Finagle's Peak EWMA): a slower answer counts at once in full,
 * faster ones win it back with a time constant of ten seconds. `peakEwma(value, 0, elapsedMs)` is the value as it has
 * faded since the last observation: read it so, or an instance that was slow once is never tried again.
 * @param elapsedMs time since the previous observation
 */
export function peakEwma(previousMs: number, observedMs: number, elapsedMs: number): number {
  if (observedMs >= previousMs) return observedMs;
  const keep = Math.exp(-Math.max(0, elapsedMs) / EWMA_DECAY_MS);
  return previousMs * keep + observedMs * (1 - keep);
}
