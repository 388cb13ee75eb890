import type { Job } from "../rules/rule.ts";
import { ruleOf } from "../rules/rules.ts";
import type { Changes, Tree } from "../tree.ts";

/** What an agent would make of some files, and who thought of it. */
export interface Proposal {
  readonly changes: Changes;
  readonly by: "rules" | "model" | "rules instead of the model";
}

/** Who finds the changes for a job. */
export interface Author {
  propose(job: Job, tree: Tree, signal: AbortSignal): Promise<Proposal>;
}

/** The same rules every time. */
export const rulesAuthor: Author = {
  propose: async (job, tree, signal) => ({
    changes: await ruleOf(job).fix(tree, job, signal),
    by: "rules",
  }),
};
