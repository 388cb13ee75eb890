import {
  MAX_PATHS,
  MeshError,
  conflictAt,
  type Clash,
  type CommitAnswer,
  type ConflictDetected,
  type ConflictResolved,
  type Decision,
  type Duration,
  type Read,
  type Side,
  type Write,
} from "@plexus/core";
import { newId } from "./runtime.ts";
import {
  conflictError,
  seeThrough,
  strategyOf,
  type DecisionSite,
  type SemanticMerge,
  type StrategyOption,
} from "./workspace-decision.ts";
import type { WorkspaceTree } from "./workspace-files.ts";
import { WorkspaceFollower } from "./workspace-follower.ts";
import type { WorkspaceReader } from "./workspace-reader.ts";
import type { WorkspaceServices } from "./workspace-services.ts";

/** A conflict, as it was found and decided. */
export interface WorkspaceConflict {
  readonly id: string;
  /** Id of the commit, and its agent. */
  readonly commit: string;
  readonly by: string;
  readonly message: string;
  readonly clashes: readonly Clash[];
  /** How it was decided; undefined while it is open. */
  readonly resolved?: ConflictResolved;
}

/** Options of everything that commits. */
export interface CommitOptions {
  /** Why, for the log. */
  readonly message?: string;
  /** What it is meant to achieve, for whoever has to merge it. */
  readonly intent?: string;
  /** Of the commit: sent again with the same id, it is not made again, and answers what was recorded. Default: a new one. */
  readonly id?: string;
  /** How conflicts are decided. Default: that of the handle, else the workspace's rules, else `reject`. */
  readonly resolve?: StrategyOption;
  /** Versions of commits that were taken into account although the bases are older. */
  readonly parents?: readonly number[];
  /** How long to wait for the owner, and before that for the broker to store contents. Default 30 s. Agents and people who decide are waited for until `signal` fires. */
  readonly timeout?: Duration;
  readonly signal?: AbortSignal;
  /** Told of a conflict that waits for agents or a person, before it is waited for. */
  readonly onConflict?: (conflict: WorkspaceConflict) => void;
}

/** A commit that was made. */
export interface CommitResult {
  /** Its id. */
  readonly commit: string;
  readonly version: number;
  /** Conflicts that were decided on the way. */
  readonly conflicts: readonly WorkspaceConflict[];
}

/** Commits, and sees through what comes of it. */
export class WorkspaceCommitter implements DecisionSite {
  readonly services: WorkspaceServices;
  readonly agent: string;
  readonly #reader: WorkspaceReader;
  readonly #resolve: StrategyOption | undefined;
  readonly #semantic: SemanticMerge | undefined;

  constructor(
    reader: WorkspaceReader,
    agent: string,
    resolve: StrategyOption | undefined,
    semantic: SemanticMerge | undefined,
  ) {
    this.services = reader.services;
    this.agent = agent;
    this.#reader = reader;
    this.#resolve = resolve;
    this.#semantic = semantic;
  }

  /** Rejects with `CONFLICT`, whose details are the conflict's id and its clashes. */
  async commit(
    { writes, reads }: { writes: Write[]; reads: Read[] },
    options: CommitOptions,
    message: string,
  ): Promise<CommitResult> {
    if (writes.length > MAX_PATHS || reads.length > MAX_PATHS) {
      throw new MeshError("INVALID_INPUT", `A commit reads and writes ${MAX_PATHS} paths at most.`);
    }
    const { id = newId(), intent, parents = [], timeout, signal } = options;
    const option = options.resolve ?? this.#resolve;
    const answer = await this.#reader.owner.commit(
      {
        id,
        by: this.agent,
        message: options.message ?? message,
        ...(intent === undefined ? {} : { intent }),
        writes,
        reads,
        parents: [...parents],
        ...(option === undefined ? {} : { resolve: strategyOf(option) }),
      },
      { id, ...(timeout === undefined ? {} : { timeout }), ...(signal ? { signal } : {}) },
    );
    const { conflict, resolved } = answer;
    if (answer.outcome !== "open") return this.#outcome(id, answer.version, conflict, resolved);
    options.onConflict?.(conflictOf(conflict!));
    const own = typeof option === "object" && option.strategy === "semantic" && option.merge;
    const semantic = own ? (option as SemanticMerge) : this.#semantic;
    const ended = await seeThrough(this, conflict!, option, semantic, signal);
    return this.#outcome(id, ended.version ?? answer.version, conflict, ended);
  }

  /** Waits until a conflict is decided; resolves with what became of its commit, or rejects with `CONFLICT`. */
  async settled(id: string, signal?: AbortSignal): Promise<CommitResult> {
    const known = await this.#reader.journal.conflict(id);
    if (known === undefined) throw new MeshError("NO_FILE", `There is no conflict ${id}.`);
    const resolved = known.resolved ?? (await this.decided(id, signal));
    return this.#outcome(resolved.commit, resolved.version ?? 0, known.found, resolved);
  }

  async resolve(
    { id, clashes }: Pick<WorkspaceConflict, "id" | "clashes">,
    decisions: readonly Decision[],
    by = this.agent,
  ): Promise<CommitAnswer> {
    const input = { id, by, decisions: [...decisions], seen: seenIn(clashes) };
    return this.#reader.owner.resolve(input);
  }

  tally(id: string): Promise<CommitAnswer> {
    return this.#reader.owner.tally({ id, by: this.agent });
  }

  async decided(id: string, signal?: AbortSignal): Promise<ConflictResolved> {
    const at = conflictAt(id);
    if (at === undefined) throw new MeshError("NO_FILE", `${id} is no id of a conflict.`);
    const found = Promise.withResolvers<ConflictResolved>();
    const { services, journal } = this.#reader;
    const follower = new WorkspaceFollower(services, journal, at + 1, ({ events }) => {
      for (const [name, data] of events) {
        const resolved = data as ConflictResolved;
        if (name === "conflict_resolved" && resolved.id === id) found.resolve(resolved);
      }
    });
    const giveUp = (): void => {
      const text = `Conflict ${id} is still open, but nobody waits for it here any more.`;
      found.reject(
        new MeshError("CANCELED", text, { cause: signal?.reason, details: { conflict: id } }),
      );
    };
    if (signal?.aborted) giveUp();
    signal?.addEventListener("abort", giveUp, { once: true });
    follower.ended.then(
      () => found.reject(new MeshError("NOT_CONNECTED", "This connection to the mesh is closed.")),
      found.reject,
    );
    try {
      return await found.promise;
    } finally {
      follower.close();
      signal?.removeEventListener("abort", giveUp);
    }
  }

  async preview(files: ReadonlyMap<string, Omit<Side, "version">>): Promise<WorkspaceTree> {
    const { head } = await this.#reader.stat([]);
    const replaced = [...files].map(([path, side]) => [path, { ...side, version: head }] as const);
    return this.#reader.tree(head, new Map(replaced));
  }

  async #outcome(
    commit: string,
    version: number,
    conflict: ConflictDetected | undefined,
    resolved: ConflictResolved | undefined,
  ): Promise<CommitResult> {
    if (conflict === undefined) return { commit, version, conflicts: [] };
    if (resolved?.outcome === "rejected") throw await conflictError(this.services, conflict);
    return { commit, version, conflicts: [conflictOf(conflict, resolved)] };
  }
}

/** The versions that whoever knows these clashes has seen. */
export function seenIn(clashes: readonly Clash[]): Record<string, number> {
  return Object.fromEntries(clashes.map(({ path, theirs }) => [path, theirs.version]));
}

export function conflictOf(
  { id, request, clashes }: Pick<ConflictDetected, "id" | "request" | "clashes">,
  resolved?: ConflictResolved,
): WorkspaceConflict {
  const { id: commit, by, message } = request;
  return { id, commit, by, message, clashes, ...(resolved === undefined ? {} : { resolved }) };
}
