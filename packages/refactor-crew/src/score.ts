import type { Action } from "./action.ts";
import { type Assignment, backlog, type CrewPlan } from "./plan.ts";
import { homeOf, type Job, type Spot } from "./rules/rule.ts";
import { glossaries, spelledOut } from "./rules/rename.ts";
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
  /** Jobs and edits that landed, and were not taken back or overruled by a vote. */
  readonly jobs: number;
  readonly edits: number;
  /** Names that landed and were then replaced by a vote. */
  readonly overruled: number;
  /** Landed edits that are not in the end result: where they were made, the old state is back. */
  readonly lost: readonly Loss[];
  readonly lostEdits: number;
}

type Landed = Extract<Action, { kind: "landed" }>;

/**
 * Looks in the project, as it is at the end, for everything that was done. Lost is what the same rule finds again in the same
 * place, by the names that the project began with, and a name that stands there as somebody else wanted it, without a vote.
 */
export function score(plan: CrewPlan, actions: readonly Action[], end: Tree): Score {
  const overruled = overruledJobs(actions);
  const reverted = actions.flatMap((one) => (one.kind === "reverted" ? [one.of] : []));
  const gone = new Set([...reverted, ...overruled]);
  const landed = actions.filter(
    (one): one is Landed => one.kind === "landed" && !gone.has(one.job),
  );
  const asked = actions.flatMap((one) => (one.kind === "asked" ? [one.ask] : []));
  const jobs = new Map([...backlog(plan), ...asked].map((one) => [one.id, one]));
  const names = renamings(landed, jobs);
  const lost = landed.flatMap((one): Loss[] => {
    const { job, agent, title } = one;
    const assignment = jobs.get(job)!;
    const left = leftOf(assignment.job, end).map((spot) => placeOf(spot, names));
    const spots = one.spots.filter((spot) => {
      const at = left.indexOf(placeOf(spot, names));
      if (at >= 0) left.splice(at, 1);
      return at >= 0;
    });
    return spots.length === 0 ? [] : [{ job, agent, title, spots }];
  });
  return {
    jobs: landed.length,
    overruled: overruled.length,
    edits: landed.reduce((sum, { spots }) => sum + spots.length, 0),
    lost,
    lostEdits: lost.reduce((sum, { spots }) => sum + spots.length, 0),
  };
}

/** What is left to do for a job, with names that are not the one it wanted. */
function leftOf(job: Job, end: Tree): Spot[] {
  const left = ruleOf(job).spots(end, job);
  if (job.rule !== "rename") return left;
  const others = new Set(glossaries.map((glossary) => spelledOut(job.subject, glossary)));
  others.delete(job.to!);
  const rivals = [...others].flatMap((subject) => ruleOf(job).spots(end, { ...job, subject }));
  return [...left, ...rivals.map(({ path }) => ({ path, key: job.subject }))];
}

/** Jobs whose names a vote has replaced: everybody was told. */
function overruledJobs(actions: readonly Action[]): string[] {
  const overruled = new Set(
    actions.flatMap((one) =>
      one.kind === "clashed" && one.strategy === "vote" && one.landed
        ? one.files.flatMap(({ theirs }) => theirs.map(({ by, title }) => `${by} ${title}`))
        : [],
    ),
  );
  return actions.flatMap((one) =>
    one.kind === "landed" && overruled.has(`${one.agent} ${one.title}`) ? [one.job] : [],
  );
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
