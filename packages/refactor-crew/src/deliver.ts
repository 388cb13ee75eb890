import { rm } from "node:fs/promises";
import { join } from "node:path";
import { writeRepository } from "./git.ts";
import type { CrewPlan } from "./plan.ts";
import type { Workplace } from "./workplace.ts";

/** Writes the project with its history as a git repository. A plain folder is already where it is, and has no history. */
export async function deliver({ history }: Workplace, { out }: CrewPlan): Promise<void> {
  if (history === undefined) return;
  const commits = await history.commits();
  await rm(join(out, ".git"), { recursive: true, force: true }); // of an earlier life that did not finish
  const trees = await Promise.all(
    commits.map(async (commit) => ({ commit, tree: await history.tree(commit.version) })),
  );
  await writeRepository(out, trees);
}
