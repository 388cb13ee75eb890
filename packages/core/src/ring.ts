import { hash32 } from "./hash.ts";

/** One owner on a {@link Ring}; `weight` 2 owns about twice the keys of weight 1. */
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

/**
 * Builds a consistent-hash ring (Karger et al. 1997) as two flat arrays with binary search. A member that joins or
 * leaves moves only the keys it gains or loses, about 1/N of them, whatever the order of `members`.
 */
export function buildRing<M extends RingMember>(members: readonly M[]): Ring<M> {
  const points: { hash: number; id: string; member: number }[] = [];
  for (const [member, { id, weight }] of members.entries()) {
    const count = Math.max(1, Math.round(weight * POINTS_PER_WEIGHT));
    for (let i = 0; i < count; i++) points.push({ hash: hash32(`${id}#${i}`), id, member });
  }
  points.sort((a, b) => a.hash - b.hash || (a.id < b.id ? -1 : 1));
  const hashes = Uint32Array.from(points, (point) => point.hash);
  const owners = Uint32Array.from(points, (point) => point.member);

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
    owner: (key) => members[owners[locate(key)]!],
    *successors(key) {
      const seen = new Set<number>();
      const start = locate(key);
      for (let i = 0; i < owners.length && seen.size < members.length; i++) {
        const owner = owners[(start + i) % owners.length]!;
        if (seen.has(owner)) continue;
        seen.add(owner);
        yield members[owner]!;
      }
    },
  };
}
