import { expect, test } from "vitest";
import type { Action } from "./action.ts";
import { patient } from "./patient/patient.ts";
import { type Assignment, backlog } from "./plan.ts";
import { ruleOf } from "./rules/rules.ts";
import { score } from "./score.ts";
import { changed, type Tree } from "./tree.ts";

const plan = { seed: 1, agents: 5, seconds: 1, mode: "folder", out: "" } as const;
const { signal } = new AbortController();
const found = patient(plan.seed);

/** What its agent tells after it has done a job, and the tree then. */
async function landing({ id, agent, job }: Assignment, tree: Tree) {
  const rule = ruleOf(job);
  const next = changed(tree, await rule.fix(tree, job, signal));
  const action: Extract<Action, { kind: "landed" }> = {
    kind: "landed",
    agent,
    at: 0,
    job: id,
    title: rule.title(job),
    paths: [...next.keys()].filter((path) => next.get(path) !== tree.get(path)),
    spots: rule.spots(tree, job),
    by: "rules",
    unseen: [],
  };
  return { action, next };
}

function jobs(rule: string): Assignment[] {
  return backlog(plan).filter(({ job, contested }) => job.rule === rule && contested !== true);
}

test("nothing is lost as long as every edit is there, under whatever name and in whatever file", async () => {
  const loop = jobs("plain-loop").find(({ job }) => job.subject === "src/misc.ts");
  const [split] = jobs("split");
  const one = await landing(loop!, found);
  const two = await landing(split!, one.next);
  expect(score(plan, [one.action, two.action], two.next)).toMatchObject({ jobs: 2, lost: [] });
});

test("a file that somebody saves as it was before loses exactly the edits in it", async () => {
  const [rename] = jobs("rename");
  const { action, next } = await landing(rename!, found);
  expect(score(plan, [action], next)).toMatchObject({ lostEdits: 0 });
  const { path } = action.spots[0]!;
  const within = action.spots.filter((spot) => spot.path === path);
  const overwritten = changed(next, new Map([[path, found.get(path)!]]));
  expect(score(plan, [action], overwritten)).toMatchObject({
    lostEdits: within.length,
    lost: [{ job: rename!.id, spots: within }],
  });
});

test("a name that somebody else replaces is lost, unless a vote has decided so", async () => {
  const [ours, theirs] = backlog(plan).filter(({ contested }) => contested);
  const first = await landing(ours!, found);
  const rival = { ...theirs!, job: { ...theirs!.job, subject: ours!.job.to! } };
  const second = await landing(rival, first.next);
  const { title, agent: by } = first.action;
  const told = { ...second.action, spots: [] };
  const silent = score(plan, [first.action, told], second.next);
  expect(silent).toMatchObject({ overruled: 0, lost: [{ job: ours!.id }] });
  const vote: Action = {
    kind: "clashed",
    agent: theirs!.agent,
    at: 0,
    job: theirs!.id,
    title: "",
    conflict: "c1",
    files: [
      {
        path: "",
        type: "write/write",
        base: 1,
        theirs: [{ by, version: 2, title }],
        winner: "ours",
      },
    ],
    strategy: "vote",
    landed: true,
  };
  const open = score(plan, [first.action, vote, told], second.next);
  expect(open).toMatchObject({ overruled: 1, lost: [] });
});
