import type { Action } from "./action.ts";
import { type Assignment, backlog, type CrewPlan } from "./plan.ts";
import { patient } from "./patient/patient.ts";
import { homeOf, type Spot } from "./rules/rule.ts";
import { ruleOf } from "./rules/rules.ts";
import type { Tree } from "./tree.ts";

/** Edits of one job that are not in the end result. */
export interface Loss {
  readonly job: string;
  readonly agent: string;
  readonly title: string;
  readonly spots: readonly Spot[];
}

/** What became of the work. An edit is one place that a job has changed. */
export interface Score {
  /** Jobs and edits that landed and were not taken back. */
  readonly jobs: number;
  readonly edits: number;
  /** Landed edits that are not in the end result: where they were made, the old state is back. */
  readonly lost: readonly Loss[];
  readonly lostEdits: number;
}

type Landed = Extract<Action, { kind: "landed" }>;

/**
 * Looks in the project, as it is at the end, for everything that was done: whatever the same rule finds again in the same place, by
 * today's names, has been lost.
 */
export function score(plan: CrewPlan, actions: readonly Action[], end: Tree): Score {
  const reverted = new Set(actions.flatMap((one) => (one.kind === "reverted" ? [one.of] : [])));
  const landed = actions.filter((one): one is Landed => one.kind === "landed" && !reverted.has(one.job));
  const asked = actions.flatMap((one) => (one.kind === "asked" ? [one.ask] : []));
  const jobs = new Map([...backlog(plan, patient(plan.seed)), ...asked].map((one) => [one.id, one]));
  const names = renamings(landed, jobs);
  const lost = landed.flatMap((one): Loss[] => {
    const { job, agent, title } = one;
    const assignment = jobs.get(job)!;
    const left = ruleOf(assignment.job)
      .spots(end, assignment.job)
      .map((spot) => placeOf(spot, names));
    const spots = one.spots.filter((spot) => {
      const at = left.indexOf(placeOf(spot, names));
      if (at >= 0) left.splice(at, 1);
      return at >= 0;
    });
    return spots.length === 0 ? [] : [{ job, agent, title, spots }];
  });
  return {
    jobs: landed.length,
    edits: landed.reduce((sum, { spots }) => sum + spots.length, 0),
    lost,
    lostEdits: lost.reduce((sum, { spots }) => sum + spots.length, 0),
  };
}

function renamings(
  landed: readonly Landed[],
  jobs: ReadonlyMap<string, Assignment>,
): ReadonlyMap<string, string> {
  return new Map(
    landed.flatMap((one) => {
      const { rule, subject, to } = jobs.get(one.job)!.job;
      return rule === "rename" && to !== undefined ? [[to, subject] as const] : [];
    }),
  );
}

/** A spot by the names and files that the project began with. */
function placeOf({ path, key }: Spot, names: ReadonlyMap<string, string>): string {
  const words = key.replaceAll(/\w+/g, (word) => names.get(word) ?? word);
  return `${homeOf(path)}\0${words}`;
}
