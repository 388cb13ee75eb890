import type { Election } from "../workplace.ts";
import type { Seat } from "./seat.ts";

/** Votes on whatever waits for it, as this agent sees it. Disposing ends it. */
export function judge({ place }: Seat): Promise<AsyncDisposable> {
  return place.judge(async (election) => {
    const { prefers, why } = preference(place.agent, election);
    const shown = namesOf(election)?.[prefers] ?? prefers;
    await place.tell({ kind: "voted", conflict: election.clash.conflict, prefers: shown, why });
    return prefers;
  });
}

/**
 * Nobody elects what would undo the work of a third one. Between two names for one thing the reviewer wants the longer one, which says
 * more; the tester the shorter one, which is written more often; the integrator what is there, which moves less.
 */
export function preference(
  agent: string,
  election: Election,
): { prefers: "ours" | "theirs"; why: string } {
  const names = namesOf(election);
  if (names === undefined) return { prefers: "theirs", why: "the other would undo somebody's work" };
  const isLonger = names.ours.length > names.theirs.length;
  if (agent === "reviewer") return { prefers: isLonger ? "ours" : "theirs", why: "says more" };
  if (agent === "tester") return { prefers: isLonger ? "theirs" : "ours", why: "is shorter" };
  return { prefers: "theirs", why: "is there already" };
}

/** What both would call it; undefined if the conflict is about more than a name. */
function namesOf({ ours, clash }: Election): { ours: string; theirs: string } | undefined {
  const own = renaming(ours.title);
  const rivals = clash.files.flatMap(({ theirs }) => theirs.map(({ title }) => renaming(title)));
  const [rival] = rivals;
  if (own === undefined || rival === undefined) return undefined;
  if (rivals.some((one) => one?.from !== own.from || one.to !== rival.to)) return undefined;
  return { ours: own.to, theirs: rival.to };
}

function renaming(title: string): { from: string; to: string } | undefined {
  const match = /^rename (\w+) to (\w+)$/.exec(title);
  return match === null ? undefined : { from: match[1]!, to: match[2]! };
}
