import { deliver } from "../deliver.ts";
import { inFolder } from "../folder.ts";
import { backlog, workersOf } from "../plan.ts";
import { ruleOf } from "../rules/rules.ts";
import { runTests, type TestResult } from "../run-tests.ts";
import type { Tree } from "../tree.ts";
import type { Commit, History, Snapshot } from "../workplace.ts";
import { openSearch, type Searcher } from "./search.ts";
import { takeAllBack, takeBack, undoId } from "./take-back.ts";
import type { Seat } from "./seat.ts";

/** Times that it looks for what broke the tests; then it delivers what there is, and says what fails. */
const MAX_SEARCHES = 30;
/** Commits that come between two runs of the tests, unless everybody waits. */
const EVERY = 6;

/**
 * Runs the project's tests on the head again and again. When some fail it looks for the commit that broke them, by bisection,
 * takes it back and asks its author for another way. It ends the run when all is done, reviewed and tested.
 */
export async function integrate(seat: Seat): Promise<void> {
  const { place, mesh, board, plan, signal } = seat;
  const workers = workersOf(plan);
  let good = 0;
  let tested = -1;
  let searches = 0;
  await tellUndone();
  await using search = mesh && place.history && (await openSearch(mesh, searcher(place.history)));
  await search?.finish();
  // One run of the tests after the other.
  for (;;) {
    await board.until(isDue, signal);
    const isLast = isDone();
    tested = board.landed.size + board.reverted.size;
    const snapshot = await place.snapshot();
    const result = await test(snapshot.tree);
    const { version } = snapshot;
    const { passed, failed, failures } = result;
    await place.tell({ kind: "tested", version, passed, failed, failures: [...failures] });
    if (failed === 0) good = version ?? 0;
    else if (board.openAsks().length > 0 || (await askToMend(snapshot))) continue;
    else if (await findAndTakeBack(snapshot, result)) continue;
    if (!isLast || !isDone()) continue;
    await deliver(place, plan);
    await place.tell({ kind: "delivered", version, passed, failed, failures: [...failures] });
    return;
  }

  /** Everybody waits, and everything was looked at. */
  function isDone(): boolean {
    return (
      workers.every((agent) => board.finished.has(agent)) &&
      board.openAsks().length === 0 &&
      [...board.landed.keys()].every((job) => board.reviewed.has(job))
    );
  }

  function isDue(): boolean {
    return isDone() || board.landed.size + board.reverted.size >= tested + EVERY;
  }

  function test(tree: Tree): Promise<TestResult> {
    return inFolder(tree, (folder) => runTests(folder, signal));
  }

  function searcher(history: History): Searcher {
    return {
      history,
      test: (tree, files, until) => inFolder(tree, (folder) => runTests(folder, until, files)),
      settle,
    };
  }

  /** What is merely imported by the wrong name is mended, not taken back. Returns whether there was such a thing. */
  async function askToMend({ tree }: Snapshot): Promise<boolean> {
    const rule = "broken-import";
    let isAsked = false;
    for (const { subject } of ruleOf({ rule }).subjects(tree)) {
      const changes = [...board.landed.values()].filter(({ paths }) => paths.includes(subject));
      const last = changes.at(-1);
      // Once for each state of the file: what could not be mended is not asked for again.
      const id = `integrator/${rule}/${subject}/${changes.length}`;
      if (last === undefined || board.asks.has(id)) continue;
      const job = { rule, subject } as const;
      const ask = { id, agent: last.agent, job };
      const why = "imports something that is not there";
      await place.tell({ kind: "asked", ask, title: ruleOf(job).title(job), why });
      // So that it is not over before it begins.
      await board.until(() => board.asks.has(id), signal);
      isAsked = true;
    }
    return isAsked;
  }

  /** @returns false if there is no history to look into, or it was no use too often */
  async function findAndTakeBack(head: Snapshot, result: TestResult): Promise<boolean> {
    if (search === undefined || head.version === undefined) return false;
    searches += 1;
    if (searches > MAX_SEARCHES) return false;
    const { files, failures } = result;
    return search.find({ good, bad: head.version, files, failures });
  }

  async function settle(bad: Commit, failures: readonly string[], head: number): Promise<void> {
    const commits = await place.history!.commits();
    const why = `breaks "${failures[0]}"`;
    const undone = await takeBack(place, bad, commits.length);
    const all = commits.filter(({ version }) => version >= bad.version);
    if (undone !== undefined) await outcome([bad], undone);
    else if (!board.isSettled(`${bad.id}/again`)) await askAgain(bad, why);
    // Its author has mended it where it stands, after the tests began: look again.
    else if ((board.landed.get(`${bad.id}/again`)?.version ?? 0) > head) return;
    // Its author could not mend it where it stands, so it goes, with what stands on it.
    else await outcome(all, await takeAllBack(place, all));

    async function outcome(gone: readonly Commit[], since: number | undefined): Promise<void> {
      if (since === undefined) return; // somebody is changing it: look again
      for (const one of gone) {
        await tellReverted(one, since, failures);
        await askAgain(one, why);
      }
    }
  }

  /** An earlier life may have taken something back, and then had no time to tell. */
  async function tellUndone(): Promise<void> {
    const commits = (await place.history?.commits()) ?? [];
    for (const { id, version } of commits) {
      const bad = commits.find((one) => id.startsWith(undoId(one)));
      if (bad === undefined) continue;
      const since = commits.filter((one) => one.version >= bad.version && one.version < version);
      for (const gone of id.endsWith("#all") ? since : [bad]) {
        if (board.reverted.has(gone.id)) continue;
        await tellReverted(gone, version, []);
        await askAgain(gone, "breaks the tests");
      }
    }
  }

  async function tellReverted(
    { id: of, title }: Commit,
    version: number,
    failures: readonly string[],
  ): Promise<void> {
    await place.tell({ kind: "reverted", title, of, version, failures: [...failures] });
    await board.until(() => board.reverted.has(of), signal);
  }

  async function askAgain({ id, title, agent }: Commit, why: string): Promise<void> {
    const known = board.asks.get(id) ?? backlog(plan).find((one) => one.id === id);
    // Twice is enough: what breaks the tests in every way is left out.
    if (known === undefined || id.endsWith("/again/again")) return;
    const ask = { id: `${id}/again`, agent, job: { ...known.job, careful: true } };
    await place.tell({ kind: "asked", ask, title, why });
    await board.until(() => board.asks.has(ask.id), signal);
  }
}
