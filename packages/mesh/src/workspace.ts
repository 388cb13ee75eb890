import { setTimeout as sleep } from "node:timers/promises";
import {
  MeshError,
  demandPath,
  isMeshError,
  type Ballot,
  type CommitAnswer,
  type Decision,
  type OpenConflict,
  type StrategyRule,
  type Write,
} from "@plexus/core";
import type { PatienceOptions } from "./patience.ts";
import { inLanes } from "./workspace-checkout.ts";
import {
  WorkspaceCommitter,
  conflictOf,
  seenIn,
  type CommitOptions,
  type CommitResult,
  type WorkspaceConflict,
} from "./workspace-committer.ts";
import { strategyOf, type SemanticMerge, type StrategyOption } from "./workspace-decision.ts";
import {
  NOTHING,
  contentOf,
  type WorkspaceContent,
  type WorkspaceFile,
  type WorkspaceTree,
} from "./workspace-files.ts";
import { WorkspaceFollower } from "./workspace-follower.ts";
import {
  readBlame,
  readDiff,
  readLog,
  type BlameLine,
  type FileDiff,
} from "./workspace-history.ts";
import { committedIn, type StoredCommit } from "./workspace-journal.ts";
import type { WorkspaceReader } from "./workspace-reader.ts";
import { runTransaction, type TransactOptions } from "./workspace-attempts.ts";
import { patched, type WorkspaceTransaction } from "./workspace-transaction.ts";

/** How one agent uses a workspace. */
export interface WorkspaceOptions {
  /** In whose name it commits. Default: the name of the process. */
  readonly agent?: string;
  /** How conflicts of its commits are decided. Default: by the workspace's rules. */
  readonly resolve?: StrategyOption;
  /** Merges by meaning, where the strategy is `semantic`. */
  readonly semantic?: SemanticMerge;
}

/** Options of {@link Workspace.write}, `patch` and `remove`. */
export interface WriteOptions extends CommitOptions {
  /** The version that the content is based on. Default: what this handle has seen there last, 0 (nothing) if it has not. */
  readonly base?: number;
}

/** Something that goes on until it is closed. */
export interface WorkspaceSubscription extends AsyncDisposable {
  close(): Promise<void>;
}

const LAG_MS = 10;

/** A versioned tree of files that many agents edit at once, as one of them uses it. */
export class Workspace {
  readonly name: string;
  readonly agent: string;
  readonly #reader: WorkspaceReader;
  readonly #committer: WorkspaceCommitter;
  /** The version of each file that this handle has seen last. */
  readonly #seen = new Map<string, number>();

  /** Use `mesh.workspace()`. */
  constructor(name: string, agent: string, reader: WorkspaceReader, options: WorkspaceOptions) {
    this.name = name;
    this.agent = agent;
    this.#reader = reader;
    this.#committer = new WorkspaceCommitter(reader, agent, options.resolve, options.semantic);
  }

  /** The newest version: how many commits there are. */
  async head(): Promise<number> {
    return (await this.#reader.stat([])).head;
  }

  /** A file as it is now. Rejects with `NO_FILE`. */
  async read(path: string): Promise<WorkspaceContent> {
    const found = await this.find(path);
    if (found) return found;
    throw new MeshError("NO_FILE", `There is no ${path} in workspace ${this.name}.`);
  }

  /** A file as it is now; undefined: there is none. */
  async find(path: string): Promise<WorkspaceContent | undefined> {
    const name = demandPath(path);
    const { files } = await this.#reader.stat([name]);
    const side = files[0] ?? NOTHING;
    const found = await contentOf(this.#reader.services, name, side);
    this.#seen.set(name, side.version);
    return found;
  }

  /** The files, or those whose path begins so, by their paths: all of one version. */
  async list(prefix?: string): Promise<WorkspaceFile[]> {
    return (await this.at()).list(prefix);
  }

  /** The workspace at a version, to be read. Default: the newest one. Rejects with `NO_FILE` for one that does not exist. */
  async at(version?: number): Promise<WorkspaceTree> {
    const { head } = await this.#reader.stat([]);
    if (version !== undefined && !(version >= 0 && version <= head)) {
      throw new MeshError("NO_FILE", `There is no version ${version}; ${this.name} is at ${head}.`);
    }
    return this.#reader.tree(version ?? head);
  }

  /** Commits one file. Rejects with `CONFLICT` if it has changed since `base` and no strategy decides for this commit. */
  async write(
    path: string,
    content: string | Uint8Array,
    options: WriteOptions = {},
  ): Promise<CommitResult> {
    const name = demandPath(path);
    const bytes = typeof content === "string" ? Buffer.from(content) : content;
    const write = {
      path: name,
      base: this.#base(name, options),
      ...(await this.#put(bytes, options)),
    };
    return this.#one(write, options, `write ${name}`);
  }

  /** Commits the change of one text, as a unified diff against `base`. Rejects with `INVALID_INPUT` if it does not apply. */
  async patch(path: string, diff: string, options: WriteOptions = {}): Promise<CommitResult> {
    const name = demandPath(path);
    const base = options.base ?? this.#seen.get(name) ?? (await this.head());
    const before = await this.#reader.tree(base).read(name);
    const content = Buffer.from(patched(before, diff));
    const stored = await this.#put(content, options);
    return this.#one({ path: name, base, ...stored }, options, `patch ${name}`);
  }

  /** Commits the removal of one file. */
  async remove(path: string, options: WriteOptions = {}): Promise<CommitResult> {
    const name = demandPath(path);
    const write = { path: name, base: this.#base(name, options), size: 0 };
    return this.#one(write, options, `remove ${name}`);
  }

  /**
   * Runs a function on one version of the workspace and commits what it writes, all or nothing, provided that nothing it has read
   * or written has changed meanwhile, or that a strategy decides. Rejects with `CONFLICT` once its attempts are used up.
   */
  async transact<T>(
    options: TransactOptions,
    run: (context: WorkspaceTransaction) => T | Promise<T>,
  ): Promise<CommitResult & { readonly value: T }> {
    return runTransaction(this.#reader, this.#committer, options, run, (path, version) =>
      this.#seen.set(path, version),
    );
  }

  /**
   * Commits several files whose bases are known, all or nothing; `content` gives what is to stand under a path, undefined to remove
   * it. Rejects as `write` does.
   */
  async writeAll(
    files: readonly { readonly path: string; readonly base: number }[],
    content: (path: string) => Promise<Uint8Array | undefined>,
    options: CommitOptions = {},
  ): Promise<CommitResult> {
    const writes: Write[] = [];
    await inLanes(files, async ({ path, base }) => {
      const bytes = await content(path);
      const stored = bytes === undefined ? { size: 0 } : await this.#put(bytes, options);
      writes.push({ ...stored, path: demandPath(path), base });
    });
    return this.#committer.commit({ writes, reads: [] }, options, `write ${files.length} files`);
  }

  /** Sets how conflicts are decided, by globs: the first that matches. What none matches is `reject`. */
  async setStrategies(rules: Readonly<Record<string, StrategyOption>>): Promise<void> {
    const list = Object.entries(rules).map(([paths, option]) =>
      Object.assign(strategyOf(option), { paths }),
    );
    await this.#reader.owner.strategies({ by: this.agent, rules: list });
  }

  async strategies(): Promise<StrategyRule[]> {
    return (await this.#reader.stat([])).rules;
  }

  /** The last commits, or those of one file, the newest first. Default limit: 100. */
  log(options: { readonly path?: string; readonly limit?: number } = {}): Promise<StoredCommit[]> {
    const reader = this.#reader;
    return readLog({ journal: reader.journal, stat: (paths) => reader.stat(paths) }, options);
  }

  /** All commits from a version on, the oldest first, to the newest there is. */
  async *commitsFrom(version: number): AsyncGenerator<StoredCommit> {
    const { head, sequence } = await this.#reader.stat([]);
    let next = await this.#sequenceOf(version, head, sequence);
    for (let reached = version - 1; reached < head;) {
      const before = next;
      for await (const record of this.#reader.journal.records(next)) {
        next = record.sequence + 1;
        const commit = committedIn(record);
        if (commit === undefined || commit.version < version) continue;
        reached = commit.version;
        yield commit;
        if (reached >= head) return;
      }
      if (next === before) await sleep(LAG_MS); // the replica that answers is behind
    }
  }

  /** A content by its name, as log and conflicts give it. Rejects with `NO_FILE`. */
  content(name: { readonly hash: string; readonly size: number }): Promise<Uint8Array> {
    return this.#reader.services.get(name);
  }

  /** Who made each line of a file what it is, of its last 1,000 commits. */
  blame(path: string): Promise<BlameLine[]> {
    return readBlame(this.#reader, path);
  }

  /** What changed between two versions. */
  diff(from: number, to: number, path?: string): Promise<FileDiff[]> {
    return readDiff(this.#reader, from, to, path);
  }

  /** The conflicts that wait for agents or a person. */
  async conflicts(): Promise<WorkspaceConflict[]> {
    const open = await this.#reader.owner.conflicts(undefined);
    const found = await Promise.all(open.map((id) => this.#reader.owner.conflict(id)));
    return found
      .filter((one): one is OpenConflict => one !== undefined)
      .map((one) => conflictOf(one));
  }

  /** A conflict, open or decided: who, when, from which bases, both sides. Rejects with `NO_FILE`. */
  async conflict(id: string): Promise<WorkspaceConflict> {
    const open = await this.#reader.owner.conflict(id);
    if (open) return conflictOf(open);
    const known = await this.#reader.journal.conflict(id);
    if (known) return conflictOf(known.found, known.resolved);
    throw new MeshError("NO_FILE", `There is no conflict ${id} in workspace ${this.name}.`);
  }

  /**
   * Decides an open conflict, for all of its paths or for some; `files` are contents that somebody has merged. What is decided is
   * what stood there when the conflict was read: if more has come since, it stays open, and that is the answer.
   */
  async resolve(
    conflict: WorkspaceConflict,
    winner: Decision["winner"] | { readonly files: Readonly<Record<string, string | Uint8Array>> },
  ): Promise<CommitAnswer["outcome"]> {
    const { clashes } = conflict;
    const decisions =
      typeof winner === "string"
        ? clashes.map(({ path }) => ({ path, winner }))
        : await Promise.all(
            Object.entries(winner.files).map(async ([path, content]) => {
              const own = typeof content === "string" ? Buffer.from(content) : content;
              const { hash, size } = await this.#put(own);
              return { path: demandPath(path), winner: "merged" as const, hash, size };
            }),
          );
    return (await this.#committer.resolve(conflict, decisions)).outcome;
  }

  /** Waits until a conflict is decided, in whichever process its commit was begun. Rejects with `CONFLICT` if the commit lost. */
  settled(id: string, options: { readonly signal?: AbortSignal } = {}): Promise<CommitResult> {
    return this.#committer.settled(id, options.signal);
  }

  /**
   * Casts this agent's ballot in the vote on a conflict, the best first; a second one replaces the first. It does not count if more
   * has been committed since the conflict was read.
   */
  async vote(
    { id, clashes }: WorkspaceConflict,
    ranking: Ballot["ranking"],
  ): Promise<CommitAnswer["outcome"]> {
    const ballot = { id, by: this.agent, ranking, seen: seenIn(clashes) };
    return (await this.#reader.owner.ballot(ballot)).outcome;
  }

  /** Takes part in every vote of this workspace: `rank` tells whom it prefers, or nothing to abstain. */
  async judge(
    rank: (
      conflict: WorkspaceConflict,
    ) => Ballot["ranking"] | undefined | Promise<Ballot["ranking"] | undefined>,
  ): Promise<WorkspaceSubscription> {
    const { sequence } = await this.#reader.stat([]);
    const consider = async (conflict: WorkspaceConflict): Promise<void> => {
      if (!conflict.clashes.some(({ strategy }) => strategy.strategy === "vote")) return;
      const ranking = await rank(conflict);
      if (ranking === undefined) return;
      await this.vote(conflict, ranking).catch((error: unknown) => {
        if (!isMeshError(error, "NO_FILE")) throw error; // others have decided it
      });
    };
    await Promise.all((await this.conflicts()).map(consider));
    return this.#follow(sequence + 1, async ({ events }) => {
      for (const [name, data] of events) {
        const found = data as OpenConflict & { open: boolean };
        if (name !== "conflict_detected" || !found.open) continue;
        // There is one in a record at most.
        await consider(conflictOf(found));
      }
    });
  }

  /** Calls `handler` with every commit from a version on, in order and one at a time; by default with those to come. */
  async watch(
    handler: (commit: StoredCommit) => unknown,
    options: { readonly from?: number } = {},
  ): Promise<WorkspaceSubscription> {
    const { head, sequence } = await this.#reader.stat([]);
    const { from = head + 1 } = options;
    const next = await this.#sequenceOf(from, head, sequence);
    return this.#follow(next, async (record) => {
      const commit = committedIn(record);
      if (commit && commit.version >= from) await handler(commit);
    });
  }

  /** Where to begin to read the journal for the commits from a version on. */
  async #sequenceOf(version: number, head: number, sequence: number): Promise<number> {
    if (version > head) return sequence + 1;
    if (version <= 1) return 1;
    const commits = await this.log({ limit: head - version + 1 });
    return commits.at(-1)!.at + 1;
  }

  #follow(
    from: number,
    take: ConstructorParameters<typeof WorkspaceFollower>[3],
  ): WorkspaceSubscription {
    const { services, journal } = this.#reader;
    const follower = new WorkspaceFollower(services, journal, from, take);
    const close = (): Promise<void> => {
      follower.close();
      return follower.ended;
    };
    return { close, [Symbol.asyncDispose]: close };
  }

  async #one(
    write: { path: string; base: number; size: number; hash?: string },
    options: CommitOptions,
    message: string,
  ): Promise<CommitResult> {
    const result = await this.#committer.commit({ writes: [write], reads: [] }, options, message);
    this.#seen.set(write.path, result.version);
    return result;
  }

  #base(path: string, { base }: WriteOptions): number {
    return base ?? this.#seen.get(path) ?? 0;
  }

  #put(content: Uint8Array, options?: PatienceOptions): Promise<{ hash: string; size: number }> {
    return this.#reader.services.put(content, options);
  }
}
