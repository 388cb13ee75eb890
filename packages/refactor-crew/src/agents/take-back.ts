import { diff3Merge } from "node-diff3";
import type { Tree } from "../tree.ts";
import type { Commit, Workplace } from "../workplace.ts";

/** A commit whose change is no longer there, and since which version. */
export interface Undone extends Pick<Commit, "id" | "title" | "agent"> {
  readonly version: number | undefined;
}

class StandsOnIt extends Error {}

/**
 * Takes a commit back out of the head, keeping what came later. Where later changes stand on the same lines, its author has
 * to mend it: nothing is undone then.
 */
export async function takeBack(
  place: Workplace,
  bad: Commit,
  since: readonly Commit[],
): Promise<Undone[]> {
  const history = place.history!;
  const [before, after] = await Promise.all([
    history.tree(bad.version - 1),
    history.tree(bad.version),
  ]);
  const attempt = {
    id: `integrator/undo/${bad.id}/${since.length}`,
    agent: place.agent,
    title: `revert "${bad.title}" of ${bad.agent}`,
    vote: false,
  };
  try {
    const landing = await place.attempt(attempt, async (draft) => {
      for (const path of bad.paths) {
        // oxlint-disable-next-line no-await-in-loop -- a few files
        const now = await draft.read(path);
        const text = without(path, { before, after, now });
        if (text !== (now ?? null)) draft.write(path, text);
      }
    });
    return landing.landed ? [{ ...bad, version: landing.version }] : [];
  } catch (error) {
    if (error instanceof StandsOnIt) return [];
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
  const lines = (text: string): string[] => text.split(/(?<=\n)/);
  const merged = diff3Merge(lines(old), lines(bad), lines(now), { excludeFalseConflicts: true });
  const parts = merged.map(({ ok }) => ok);
  if (parts.includes(undefined)) throw new StandsOnIt();
  return parts.flat().join("");
}
