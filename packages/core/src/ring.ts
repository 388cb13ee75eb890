import { hash32 } from "./hash.ts";

/** One owner on a {@link Ring}; `weight` 2 owns about twice the keys of weight 1. Above 0, at most 100. */
export interface RingMember {
  readonly id: string;
  readonly weight: number;
}

/** A consistent-hash ring over members; immutable. */
export interface Ring<M extends RingMember> {
  readonly members: readonly M[];
  /** The owner of `key`, or undefined on an empty ring. */
  owner(key: string): M | undefined;
  /** Owners of `key` in preference order, each once: the owner first, then its successors. */
  successors(key: string): Iterable<M>;
}

const POINTS_PER_WEIGHT = 160; // spreads 10 members within about ±15 % of the mean
const MIN_WEIGHT = 1 / POINTS_PER_WEIGHT;
const MAX_WEIGHT = 100; // bounds what one member can make a ring cost
const MEMBER_LIMIT = 2 ** 20;

/** A member's weight as it counts: at most 100, and 1/160 for what is not above zero. */
export function effectiveWeight({ weight }: RingMember): number {
  return weight > MIN_WEIGHT ? Math.min(weight, MAX_WEIGHT) : MIN_WEIGHT;
}

/**
 * Builds a consistent-hash ring (Karger et al. 1997) as two flat arrays with binary search. A member that joins or
 * leaves moves only the keys it gains or loses, about 1/N of them, whatever the order of `members`.
 */
export function buildRing<M extends RingMember>(members: readonly M[]): Ring<M> {
  const sorted = members.toSorted((a, b) => (a.id < b.id ? -1 : 1));
  // A point is one number, hash × 2²⁰ + member, which sorts natively; equal hashes go in the order of the ids.
  const counts = sorted.map((member) => Math.round(effectiveWeight(member) * POINTS_PER_WEIGHT));
  const unsorted = new Float64Array(counts.reduce((sum, count) => sum + count, 0));
  let end = 0;
  for (const [index, { id }] of sorted.entries()) {
    for (let i = 0; i < counts[index]!; i++) unsorted[end++] = hash32(id, i) * MEMBER_LIMIT + index;
  }
  const points = unsorted.toSorted();
  const hashes = new Uint32Array(points.length);
  const owners = new Uint32Array(points.length);
  for (let i = 0; i < points.length; i++) {
    hashes[i] = Math.floor(points[i]! / MEMBER_LIMIT);
    owners[i] = points[i]! % MEMBER_LIMIT;
  }

  const locate = (key: string): number => {
    const hash = hash32(key);
    let low = 0;
    let high = hashes.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (hashes[middle]! < hash) low = middle + 1;
      else high = middle;
    }
    return low === hashes.length ? 0 : low;
  };

  return {
    members,
    owner: (key) => sorted[owners[locate(key)]!],
    *successors(key) {
      const seen = new Set<number>();
      const start = locate(key);
      for (let i = 0; i < owners.length && seen.size < members.length; i++) {
        const owner = owners[(start + i) % owners.length]!;
        if (seen.has(owner)) continue;
        seen.add(owner);
        yield sorted[owner]!;
      }
    },
  };
}
