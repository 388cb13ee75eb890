import { setTimeout as sleep } from "node:timers/promises";
import type { Assignment } from "../plan.ts";
import { type Job, readsOf, type RuleName, type Spot } from "../rules/rule.ts";
import { ruleOf } from "../rules/rules.ts";
import { changed, type Tree } from "../tree.ts";
import {
  type Draft,
  type Snapshot,
  StartsOver,
  type Update,
  type Workplace,
} from "../workplace.ts";
import type { Author, Proposal } from "./author.ts";

/** Changes that touch so much that it is no use to go on once somebody else has changed some of it. */
const STARTS_OVER: ReadonlySet<RuleName> = new Set(["split", "extract", "dead-export"]);

export interface TurnOptions {
  readonly one: Assignment;
  readonly snapshot: Snapshot;
  readonly place: Workplace;
  readonly author: Author;
  readonly thinkMs: number;
  /** Where it meets a change that it has not seen, the others vote. */
  readonly vote: boolean;
  readonly signal: AbortSignal;
}

/** One attempt at a job: read, think, write. */
export class Turn {
  paths: string[] = [];
  spots: Spot[] = [];
  by: Proposal["by"] = "rules";
  readonly #options: TurnOptions;

  constructor(options: TurnOptions) {
    this.#options = options;
  }

  async write(draft: Draft): Promise<void> {
    const { one, author, signal } = this.#options;
    const tree = await this.#read(draft);
    await this.#think(draft);
    const { changes, by } = await author.propose(one.job, tree, signal);
    const real = [...changes].filter(([path, text]) => (tree.get(path) ?? null) !== text);
    this.by = by;
    this.paths = real.map(([path]) => path);
    this.spots = doneSpots(tree, changed(tree, changes), one.job);
    for (const [path, text] of real) draft.write(path, text);
  }

  /** What the job depends on as it is now, among the rest as it was a moment ago. */
  async #read(draft: Draft): Promise<Tree> {
    const { one, snapshot } = this.#options;
    const tree = new Map(snapshot.tree);
    for (const path of readsOf(ruleOf(one.job), snapshot.tree, one.job)) {
      // As an agent would.
      const text = await draft.read(path);
      if (text === undefined) tree.delete(path);
      else tree.set(path, text);
    }
    return tree;
  }

  async #think(draft: Draft): Promise<void> {
    const { one, place, thinkMs, signal } = this.#options;
    const woken = new AbortController();
    const updates: Update[] = [];
    const end = draft.onUpdate((update) => {
      if (woken.signal.aborted) return;
      updates.push(update);
      if (this.#startsOver(update)) woken.abort();
    });
    await sleep(thinkMs, undefined, { signal: AbortSignal.any([signal, woken.signal]) }).catch(
      () => undefined,
    );
    end();
    signal.throwIfAborted();
    const isOver = woken.signal.aborted;
    // The last one was too much.
    for (const { path, by, version } of isOver ? updates.slice(-1) : updates) {
      const reaction = isOver ? "starts over" : "goes on";
      await place.tell({ kind: "told", job: one.id, path, by, version, reaction });
    }
    if (isOver) throw new StartsOver();
  }

  /** A vote is about two names for one thing, so nothing else may have come in between. */
  #startsOver({ title }: Update): boolean {
    const { one, vote } = this.#options;
    if (vote) return !title.startsWith(`rename ${one.job.subject} to `);
    return STARTS_OVER.has(one.job.rule);
  }
}

/** Spots that were there before, and are not any more. */
export function doneSpots(before: Tree, after: Tree, job: Job): Spot[] {
  const left = ruleOf(job)
    .spots(after, job)
    .map((spot) => nameOf(spot));
  return ruleOf(job)
    .spots(before, job)
    .filter((spot) => {
      const at = left.indexOf(nameOf(spot));
      if (at >= 0) left.splice(at, 1);
      return at < 0;
    });
}

function nameOf({ path, key }: Spot): string {
  return `${path}\0${key}`;
}
