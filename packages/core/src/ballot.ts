/** Candidates in the order in which they are preferred, the best first. Who is left out is liked least. */
export type Ranking = readonly string[];

/** How ballots are counted. */
export type VotingMethod = "borda" | "rankedChoice";

/**
 * The winner of a vote. Ties go to the candidate that stands first in `candidates`, so equal ballots always elect the same one, in
 * whatever order they came. Candidates that nobody has heard of do not count.
 */
export function elect(
  candidates: readonly string[],
  ballots: readonly Ranking[],
  method: VotingMethod = "borda",
): string | undefined {
  const valid = ballots.map((ballot) => [
    ...new Set(ballot.filter((name) => candidates.includes(name))),
  ]);
  return method === "borda" ? borda(candidates, valid) : rankedChoice(candidates, valid);
}

/** Of n candidates the first of a ballot gets n − 1 points, the second n − 2, and so on (Jean-Charles de Borda, 1781). */
function borda(candidates: readonly string[], ballots: readonly Ranking[]): string | undefined {
  const points = (candidate: string): number =>
    ballots.reduce((sum, ballot) => {
      const place = ballot.indexOf(candidate);
      return place < 0 ? sum : sum + candidates.length - 1 - place;
    }, 0);
  return best(candidates, points);
}

/** Until one has more than half of the first places, the one with the fewest leaves (instant-runoff voting). */
function rankedChoice(
  candidates: readonly string[],
  ballots: readonly Ranking[],
): string | undefined {
  let left = [...candidates];
  while (left.length > 1) {
    const firsts = ballots.map((ballot) => ballot.find((name) => left.includes(name)));
    const votes = (candidate: string): number => firsts.filter((one) => one === candidate).length;
    const leader = best(left, votes)!;
    if (votes(leader) * 2 > ballots.length) return leader;
    const worst = best(left.toReversed(), (candidate) => -votes(candidate));
    left = left.filter((candidate) => candidate !== worst);
  }
  return left[0];
}

function best(candidates: readonly string[], score: (one: string) => number): string | undefined {
  let found: string | undefined;
  let most = -Infinity;
  for (const candidate of candidates) {
    const own = score(candidate);
    if (own <= most) continue;
    found = candidate;
    most = own;
  }
  return found;
}
