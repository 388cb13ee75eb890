import { isMeshError } from "@plexus/core";
import type {
  Mesh,
  SemanticMerge,
  Workspace,
  WorkspaceConflict,
  WorkspaceTransaction,
  WorkspaceTree,
} from "@plexus/mesh";
import { Action, Actions, idOf, type News } from "./action.ts";
import { Bell } from "./bell.ts";
import type { Tree } from "./tree.ts";
import {
  type Attempt,
  type Candidate,
  type Clash,
  type Commit,
  type Draft,
  type Election,
  type History,
  type Landing,
  type Snapshot,
  StartsOver,
  type Workplace,
} from "./workplace.ts";

/** Name of the workspace. */
const WORKSPACE = "kiosk";
/** The reviewer, the tester and the integrator. */
const VOTERS = 3;
const VOTE_WITHIN = "5s";
const ALL = 100_000;

/** The project as a workspace of the mesh: nobody overwrites what they have not seen. */
export class WorkspacePlace implements Workplace {
  readonly agent: string;
  readonly history: History;
  readonly #mesh: Mesh;
  readonly #repo: Workspace;
  /** Contents by their hash. */
  readonly #texts = new Map<string, string>();
  readonly #mergesByMeaning: boolean;
  /** What the change under way is about. */
  #title = "";

  /** @param merger merges what cannot be merged line by line, given what ours is about; without it, that is refused */
  constructor(mesh: Mesh, agent: string, merger?: (title: string) => SemanticMerge) {
    this.agent = agent;
    this.#mesh = mesh;
    this.#mergesByMeaning = merger !== undefined;
    const semantic: SemanticMerge | undefined = merger && {
      merge: (input) => merger(this.#title).merge(input),
      check: (tree) => merger(this.#title).check!(tree),
    };
    this.#repo = mesh.workspace(WORKSPACE, { agent, ...(semantic && { semantic }) });
    this.history = {
      commits: async () => (await this.#repo.log({ limit: ALL })).toReversed().map(toCommit),
      tree: async (version) => this.#textsOf(await this.#repo.at(version)),
    };
  }

  async snapshot(): Promise<Snapshot> {
    const tree = await this.#repo.at();
    return { version: tree.version, tree: await this.#textsOf(tree) };
  }

  async attempt(
    { id, title, vote }: Attempt,
    work: (draft: Draft) => Promise<void>,
  ): Promise<Landing> {
    const resolve = vote
      ? ({ strategy: "vote", voters: VOTERS, timeout: VOTE_WITHIN, otherwise: "reject" } as const)
      : ({ strategy: "merge", otherwise: this.#mergesByMeaning ? "semantic" : "reject" } as const);
    this.#title = title;
    // An id is for one attempt: sent again, it would be answered as it was the first time.
    const commit = { id: `${id}~${crypto.randomUUID().slice(0, 8)}`, message: title, resolve };
    try {
      const { version, conflicts } = await this.#repo.transact(commit, (ctx) => work(draftOf(ctx)));
      const [conflict] = conflicts;
      return { landed: true, version, clash: conflict && clashOf(conflict), unseen: [] };
    } catch (error) {
      const lost = { landed: false, version: undefined, unseen: [] };
      if (error instanceof StartsOver) return { ...lost, clash: undefined };
      if (!isMeshError(error, "CONFLICT")) throw error;
      const { conflict } = error.details as { conflict: string };
      return { ...lost, clash: clashOf(await this.#repo.conflict(conflict)) };
    }
  }

  async tell(news: News): Promise<void> {
    const action: Action = { ...news, agent: this.agent, at: Date.now() };
    const id = idOf(action);
    await this.#mesh.publish(Actions, action, id === undefined ? {} : { id });
  }

  async *actions(signal: AbortSignal): AsyncIterable<Action> {
    const waiting: Action[] = [];
    const bell = new Bell();
    await using _ = await this.#mesh.subscribe(
      Actions,
      (action) => {
        waiting.push(action);
        bell.ring();
      },
      { from: "all" },
    );
    while (!signal.aborted) {
      const next = waiting.shift();
      if (next !== undefined) yield next;
      else await bell.rung(signal);
    }
  }

  judge(decide: (election: Election) => Promise<Candidate>): Promise<AsyncDisposable> {
    return this.#repo.judge(async (conflict) => {
      const ours = { by: conflict.by, title: conflict.message };
      const prefers = await decide({ ours, clash: clashOf(conflict) });
      const others = (["theirs", "ours"] as const).filter((one) => one !== prefers);
      return [prefers, ...others];
    });
  }

  async #textsOf(tree: WorkspaceTree): Promise<Tree> {
    const files = await tree.list();
    const texts = files.map(async ({ path, hash }) => {
      const text = this.#texts.get(hash) ?? (await tree.read(path)).text;
      this.#texts.set(hash, text);
      return [path, text] as const;
    });
    return new Map(await Promise.all(texts));
  }
}

function draftOf(context: WorkspaceTransaction): Draft {
  return {
    read: async (path) => (await context.find(path))?.text,
    write: (path, text) => {
      if (text === null) context.remove(path);
      else context.write(path, text);
    },
    onUpdate: (told) =>
      context.onUpdate(({ version, commit, changes }) => {
        for (const { path } of changes) {
          told({ path, by: commit.by, title: commit.message, version });
        }
      }),
  };
}

function toCommit({
  version,
  by,
  message,
  id,
  storedAt,
  changes,
}: {
  readonly version: number;
  readonly by: string;
  readonly message: string;
  readonly id: string;
  readonly storedAt: number;
  readonly changes: readonly { readonly path: string }[];
}): Commit {
  const paths = changes.map(({ path }) => path);
  return { version, agent: by, title: message, id: id.replace(/~.*$/, ""), at: storedAt, paths };
}

function clashOf({ id, clashes, resolved }: WorkspaceConflict): Clash {
  return {
    conflict: id,
    strategy: resolved?.by === "semantic" ? "semantic" : clashes[0]!.strategy.strategy,
    files: clashes.map(({ path, kind, base, theirs }) => ({
      path,
      type: kind,
      base: base.version,
      theirs: theirs.commits.map(({ by, version, message }) => ({ by, version, title: message })),
      winner: resolved?.decisions.find((one) => one.path === path)?.winner ?? "theirs",
    })),
  };
}
