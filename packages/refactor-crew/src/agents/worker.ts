import { setTimeout as sleep } from "node:timers/promises";
import { type Assignment, backlog, thinkMs, workersOf } from "../plan.ts";
import { ruleOf } from "../rules/rules.ts";
import type { Landing } from "../workplace.ts";
import type { Author } from "./author.ts";
import type { Seat } from "./seat.ts";
import { doneSpots, Turn } from "./turn.ts";

const MAX_ATTEMPTS = 40;
/** Attempts at a contested job that the others may vote on; then it is like any other. */
const MAX_VOTES = 5;
/** Between attempts, so that two who are in each other's way do not meet again at once. */
const PAUSE_MS = 20;

/**
 * A generator or the tester: does its jobs one after the other, and before them what others ask of it. One that begins anew goes
 * on with the first job that nobody has seen the end of.
 */
export async function work({ place, board, plan, signal }: Seat, author: Author): Promise<void> {
  const jobs = backlog(plan).filter(({ agent }) => agent === place.agent);
  await board.until(() => board.started, signal);
  // An agent does one thing after the other.
  for (;;) {
    const next = board.openAsks(place.agent)[0] ?? jobs.find(({ id }) => !board.isSettled(id));
    if (next !== undefined) {
      await carryOut(next);
      await board.until(() => board.isSettled(next.id), signal);
    } else {
      if (!board.finished.has(place.agent)) await place.tell({ kind: "finished" });
      await board.until(() => board.openAsks(place.agent).length > 0, signal);
    }
  }

  async function carryOut(one: Assignment): Promise<void> {
    const title = ruleOf(one.job).title(one.job);
    const drop = (why: string): Promise<void> =>
      place.tell({ kind: "dropped", job: one.id, title, why });
    if (await tellLanded(one, title)) return;
    let wasVoted = false;
    for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt += 1) {
      const snapshot = await place.snapshot();
      if (ruleOf(one.job).spots(snapshot.tree, one.job).length === 0) {
        if (await tellLanded(one, title)) return; // by a vote that outlived an earlier life
        return drop(whyNothing(one, wasVoted));
      }
      const { version } = snapshot;
      await place.tell({ kind: "took", job: one.id, title, version, attempt });
      // A fair start: nobody is through with something before the others have begun.
      await board.until(() => workersOf(plan).every((agent) => board.begun.has(agent)), signal);
      const thinking = thinkMs(plan, one, attempt);
      const vote = one.contested === true && attempt <= MAX_VOTES;
      const turn = new Turn({ one, snapshot, place, author, thinkMs: thinking, vote, signal });
      const about = { id: one.id, agent: place.agent, title, vote };
      const landing = await place.attempt(about, (draft) => turn.write(draft));
      await tellClash(one, title, landing);
      wasVoted ||= landing.clash?.strategy === "vote";
      if (landing.landed) {
        const { paths, spots, by } = turn;
        if (paths.length === 0) return drop("nothing left to do");
        const { unseen } = landing;
        const told = { job: one.id, title, version: landing.version, paths, spots, by };
        return place.tell({ kind: "landed", ...told, unseen: [...unseen] });
      }
      await sleep(PAUSE_MS * attempt, undefined, { signal });
    }
    return drop(`given up after ${MAX_ATTEMPTS} attempts`);
  }

  /** It may have landed in an earlier life, which then had no time to tell. */
  async function tellLanded({ id, job }: Assignment, title: string): Promise<boolean> {
    const commits = (await place.history?.commits()) ?? [];
    const known = commits.find((commit) => commit.id === id);
    if (known === undefined) return false;
    const before = await place.history!.tree(known.version - 1);
    const after = await place.history!.tree(known.version);
    const { version, paths } = known;
    const spots = doneSpots(before, after, job);
    const told = { job: id, title, version, paths: [...paths], spots, unseen: [] };
    await place.tell({ kind: "landed", by: "rules", ...told });
    return true;
  }

  async function tellClash({ id }: Assignment, title: string, landing: Landing): Promise<void> {
    const { clash, landed } = landing;
    if (clash === undefined) return;
    await place.tell({ kind: "clashed", job: id, title, ...clash, landed });
  }
}

function whyNothing({ contested }: Assignment, wasVoted: boolean): string {
  if (contested !== true) return "nothing left to do";
  return wasVoted ? "the vote went to the other name" : "the other name is there already";
}
