import type { Tree } from "../tree.ts";
import type { Candidate, Election, Workplace } from "../workplace.ts";

/** Takes part in all votes, as this agent sees things. Disposing ends it. */
export function judge(place: Workplace): Promise<AsyncDisposable> {
  return place.judge(async (election) => {
    const names = await candidates(place, election);
    const { tree } = await place.snapshot();
    const { prefers, why } = preference(place.agent, names, tree);
    const shown = prefers === "merged" ? "a merge or theirs" : names![prefers];
    await place.tell({ kind: "voted", conflict: election.clash.conflict, prefers: shown, why });
    return prefers;
  });
}

interface Names {
  readonly ours: string;
  readonly theirs: string;
}

interface Preference {
  readonly prefers: Candidate;
  readonly why: string;
}

/**
 * Between two names for one thing the reviewer wants the longer one, the tester the shorter one, and the integrator the one
 * whose words the project uses more often. Nobody elects what would undo the work of a third one.
 */
export function preference(agent: string, names: Names | undefined, tree: Tree): Preference {
  if (names === undefined) return { prefers: "merged", why: "undo nobody's work" };
  const { ours, theirs } = names;
  if (agent === "reviewer") {
    return { prefers: ours.length > theirs.length ? "ours" : "theirs", why: "says more" };
  }
  if (agent === "tester") {
    return { prefers: ours.length < theirs.length ? "ours" : "theirs", why: "is shorter" };
  }
  const text = [...tree.values()].join("\n");
  const isCommon = uses(text, ours, theirs) > uses(text, theirs, ours);
  return { prefers: isCommon ? "ours" : "theirs", why: "goes with the rest of the project" };
}

/** How often a text has the words of a name that another name has not, beside that name itself. */
function uses(text: string, name: string, other: string): number {
  const others = new Set(wordsOf(other));
  const own = wordsOf(name).filter((word) => !others.has(word));
  const rest = text.replaceAll(name, "");
  return own.reduce((sum, word) => sum + rest.split(word).length - 1, 0);
}

function wordsOf(name: string): string[] {
  return name.split(/(?=[A-Z])/);
}

/** What both would call it; undefined if the conflict is about more than a name. */
async function candidates(place: Workplace, { ours, clash }: Election): Promise<Names | undefined> {
  const own = renaming(ours.title);
  const rivals = clash.files.flatMap(({ theirs }) => theirs);
  const names = rivals.map(({ title }) => renaming(title));
  const [rival] = names;
  if (own === undefined || rival === undefined) return undefined;
  if (names.some((one) => one?.from !== own.from || one.to !== rival.to)) return undefined;
  // Where the rival has changed files that this one does not, there would be both names.
  const commits = (await place.history?.commits()) ?? [];
  const known = new Set(clash.files.map(({ path }) => path));
  const isWhole = rivals.every(({ version }) =>
    commits.find((commit) => commit.version === version)?.paths.every((path) => known.has(path)),
  );
  return isWhole ? { ours: own.to, theirs: rival.to } : undefined;
}

function renaming(title: string): { from: string; to: string } | undefined {
  const match = /^rename (\w+) to (\w+)$/.exec(title);
  return match === null ? undefined : { from: match[1]!, to: match[2]! };
}
