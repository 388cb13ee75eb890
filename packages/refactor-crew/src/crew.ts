import type { Mesh } from "@plexus/mesh";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import type { Action } from "./action.ts";
import { Board } from "./board.ts";
import { inFolder, writeTree } from "./folder.ts";
import { FolderPlace, logOf } from "./folder-place.ts";
import { writeRepository } from "./git.ts";
import { patient } from "./patient/patient.ts";
import { agentsOf, type CrewPlan } from "./plan.ts";
import { runTests, type TestResult } from "./run-tests.ts";
import { type Score, score } from "./score.ts";
import type { Commit, Workplace } from "./workplace.ts";
import { WorkspacePlace } from "./workspace-place.ts";

/** How a run ended. */
export interface CrewOutcome {
  readonly plan: CrewPlan;
  readonly actions: readonly Action[];
  readonly score: Score;
  /** Of the project as it is at the end, run once more by who conducts. */
  readonly tests: TestResult;
  /** What is in the history, the oldest first. Empty in a plain folder, which has none. */
  readonly commits: readonly Commit[];
  /** Landed jobs whose commit is not in the history. */
  readonly missing: readonly string[];
  /** From the start until all was delivered. */
  readonly elapsedMs: number;
}

export interface ConductOptions {
  readonly place: Workplace;
  readonly plan: CrewPlan;
  /** Called for every action, once each, in order. */
  readonly onAction: (action: Action) => void;
  readonly signal: AbortSignal;
  /** How long nothing at all may happen before the run is given up, in ms. */
  readonly patienceMs?: number;
}

const PATIENCE_MS = 60_000;

/** Who commits the project as it was found. */
const FOUNDER = "founder";

/** Makes the folder of a run without coordination: the project, under version control, and an empty log. */
export async function prepareFolder(plan: CrewPlan): Promise<FolderPlace> {
  const { out, seed } = plan;
  await mkdir(out, { recursive: true });
  const commit = {
    version: 1,
    agent: FOUNDER,
    title: "Found a shop",
    id: FOUNDER,
    at: Date.now(),
    paths: [],
  };
  await writeRepository(out, [{ commit, tree: patient(seed) }]);
  await writeTree(out, patient(seed));
  await writeFile(logOf(out), "");
  await rm(`${logOf(out)}.saves`, { force: true });
  return new FolderPlace(out, FOUNDER);
}

/** Founds the workspace of a run, owned by this process, with the project in it. The mesh must not have had a run before. */
export async function prepareWorkspace(mesh: Mesh, plan: CrewPlan): Promise<Workplace> {
  await mesh.hostWorkspaces();
  const place = new WorkspacePlace(mesh, FOUNDER);
  const about = { id: FOUNDER, agent: FOUNDER, title: "Found a shop", vote: false };
  await place.attempt(about, async (draft) => {
    for (const [path, text] of patient(plan.seed)) draft.write(path, text);
  });
  return place;
}

/**
 * Follows a run to its end: starts it when all agents are there, and counts what became of their work when the integrator has
 * delivered. Rejects with the signal's reason, or when nothing has happened for too long.
 */
export async function conduct(options: ConductOptions): Promise<CrewOutcome> {
  const { place, plan, onAction, patienceMs = PATIENCE_MS } = options;
  const board = new Board();
  const actions: Action[] = [];
  const stalled = new AbortController();
  const ended = new AbortController();
  const signal = AbortSignal.any([options.signal, stalled.signal, ended.signal]);
  let heardAt = performance.now();
  const watchdog = setInterval(() => {
    if (performance.now() - heardAt > patienceMs) {
      stalled.abort(new Error(`Nothing has happened for ${patienceMs / 1_000} s`));
    }
  }, 500);
  const follow = async (): Promise<void> => {
    for await (const action of place.actions(signal)) {
      heardAt = performance.now();
      if (!board.take(action)) continue;
      actions.push(action);
      onAction(action);
    }
  };
  const following = follow();
  try {
    const run = async (): Promise<number> => {
      await board.until(() => agentsOf(plan).every((agent) => board.joined.has(agent)), signal);
      const startedAt = performance.now();
      await place.tell({ kind: "started" });
      await board.until(() => board.delivered !== undefined, signal);
      return performance.now() - startedAt;
    };
    const elapsedMs = await Promise.race([
      run(),
      following.then(() => sleep(2 ** 30, 0, { signal })),
    ]);
    const { tree } = await place.snapshot();
    const commits = (await place.history?.commits()) ?? [];
    const known = new Set(commits.map(({ id }) => id));
    const missing =
      place.history === undefined ? [] : [...board.landed.keys()].filter((job) => !known.has(job));
    const tests = await inFolder(tree, (folder) => runTests(folder, signal));
    return { plan, actions, score: score(plan, actions, tree), tests, commits, missing, elapsedMs };
  } finally {
    clearInterval(watchdog);
    ended.abort(new Error("the run is over"));
    await following.catch(() => undefined);
  }
}
