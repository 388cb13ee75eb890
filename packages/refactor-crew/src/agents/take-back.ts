import { diff3Merge } from "node-diff3";
import type { Tree } from "../tree.ts";
import type { Attempt, Commit, Draft, Workplace } from "../workplace.ts";

class StandsOnIt extends Error {}

/** How the commits begin that take a commit back. */
export function undoId({ id }: Pick<Commit, "id">): string {
  return `integrator/undo/${id}#`;
}

/**
 * Takes a commit back out of the head, keeping what came later.
 * @param attempt tells one try from another
 * @returns the version without it; undefined if later changes stand on the same lines, or somebody is changing them
 */
export async function takeBack(
  place: Workplace,
  bad: Commit,
  attempt: number,
): Promise<number | undefined> {
  const history = place.history!;
  const [before, after] = await Promise.all([
    history.tree(bad.version - 1),
    history.tree(bad.version),
  ]);
  const about = {
    id: undoId(bad) + attempt,
    agent: place.agent,
    title: `revert "${bad.title}" of ${bad.agent}`,
    vote: false,
  };
  return landed(place, about, async (draft) => {
    for (const path of bad.paths) {
      const now = await draft.read(path);
      const text = without(path, { before, after, now });
      if (text !== (now ?? null)) draft.write(path, text);
    }
  });
}

/**
 * Goes back to what was before some commits, the newest ones of all.
 * @returns the version; undefined if others have come in meanwhile
 */
export async function takeAllBack(
  place: Workplace,
  commits: readonly Commit[],
): Promise<number | undefined> {
  const [first, last] = [commits[0]!, commits.at(-1)!];
  const history = place.history!;
  const [before, after] = await Promise.all([
    history.tree(first.version - 1),
    history.tree(last.version),
  ]);
  const paths = new Set(commits.flatMap((commit) => commit.paths));
  const title = `revert ${commits.length} commits, back to version ${first.version - 1}`;
  const about = { id: `${undoId(first)}all`, agent: place.agent, title, vote: false };
  return landed(place, about, async (draft) => {
    for (const path of paths) {
      // Each becomes part of what this depends on.
      const now = await draft.read(path);
      if (now !== after.get(path)) throw new StandsOnIt();
      const text = before.get(path) ?? null;
      if (text !== (now ?? null)) draft.write(path, text);
    }
  });
}

/** The version in which a change has landed; undefined if it did not. */
async function landed(
  place: Workplace,
  about: Attempt,
  work: (draft: Draft) => Promise<void>,
): Promise<number | undefined> {
  try {
    const { landed: isThere, version } = await place.attempt(about, work);
    return isThere ? version : undefined;
  } catch (error) {
    if (error instanceof StandsOnIt) return undefined;
    throw error;
  }
}

/** A file without a change. Throws if later changes stand on it. */
function without(
  path: string,
  { before, after, now }: { before: Tree; after: Tree; now: string | undefined },
): string | null {
  const [old, bad] = [before.get(path), after.get(path)];
  if (now === bad) return old ?? null;
  if (old === undefined || bad === undefined || now === undefined) throw new StandsOnIt();
  const merged = diff3Merge(lines(old), lines(bad), lines(now), { excludeFalseConflicts: true });
  const parts = merged.map(({ ok }) => ok);
  if (parts.includes(undefined)) throw new StandsOnIt();
  return parts.flat().join("");
}

function lines(text: string): string[] {
  return text.split(/(?<=\n)/);
}
