import { hash32 } from "./hash.ts";
import { effectiveWeight, type RingMember } from "./ring.ts";

/**
 * How many of the partitions each member is to own, by Webster's divisor method (Sainte-Laguë): the shares are
 * proportional to the weights, rounded to whole partitions, and make up exactly `partitions`.
 *
 * A divisor method and no other, because one that joins takes its quota and raises nobody else's, and one that leaves
 * lowers nobody's (Balinski and Young, Fair Representation, 1982: uniformity and house monotonicity). Remainder methods
 * lack that, and each exception would be a partition that moves for nothing.
 * @param capacityFactor no quota exceeds this many times the fair share, rounded up; 1 or more
 */
export function apportion(
  members: readonly RingMember[],
  partitions: number,
  capacityFactor: number,
): Map<string, number> {
  // Equal claims go by the hash of the id, so that those who came first do not always get the odd partition.
  const claims = members
    .map((member) => ({ id: member.id, hash: hash32(member.id), weight: effectiveWeight(member) }))
    .toSorted((a, b) => a.hash - b.hash || (a.id < b.id ? -1 : 1));
  const total = claims.reduce((sum, { weight }) => sum + weight, 0);
  const caps = claims.map(({ weight }) =>
    Math.ceil((capacityFactor * partitions * weight) / total),
  );
  const quotas = claims.map(() => 0);
  if (claims.length === 0) return new Map();
  for (let given = 0; given < partitions; given++) {
    let best = -1;
    let bestClaim = -1;
    for (let i = 0; i < claims.length; i++) {
      const claim = claims[i]!.weight / (2 * quotas[i]! + 1);
      if (claim > bestClaim && quotas[i]! < caps[i]!) {
        best = i;
        bestClaim = claim;
      }
    }
    quotas[best]!++;
  }
  return new Map(claims.map(({ id }, i) => [id, quotas[i]!]));
}
