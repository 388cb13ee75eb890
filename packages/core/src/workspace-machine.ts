import { MeshError } from "./errors.ts";
import type {
  Clash,
  CommitNote,
  CommitRequest,
  Committed,
  ConflictDetected,
  ConflictResolved,
  Decision,
  FileState,
  OpenConflict,
  Side,
  Strategy,
  WorkspaceState,
} from "./workspace-model.ts";
import { MAX_OPEN } from "./workspace-model.ts";
import { demandCommit } from "./workspace-demand.ts";
import { isPure, strategyFor, type StrategyName } from "./workspace-strategy.ts";
import { findFile, withFiles } from "./workspace-tree.ts";

type Content = Omit<Side, "version">;

const MAX_NAMED = 100; // clashes that a refusal names

/** A path on which a commit is behind: something newer stands there than it has seen. */
export interface Stale {
  readonly path: string;
  readonly role: "read" | "write";
  readonly base: number;
  readonly current: FileState;
  readonly ours: Content;
  readonly strategy: Strategy;
}

/** What history says about a path on which a commit is behind. */
export interface Evidence {
  /** What the writer saw. */
  readonly base: Side;
  /** The commits that it has not seen, the newest first. None: it has taken all of them into account. */
  readonly commits: readonly CommitNote[];
  /** So many more than those. */
  readonly more?: number;
  /** The three-way merge of the lines, if it is wanted and clean. */
  readonly merged?: Content;
}

export type WorkspaceEvent =
  | readonly ["committed", Committed]
  | readonly ["conflict_detected", ConflictDetected]
  | readonly ["conflict_resolved", ConflictResolved];

/** What becomes of a commit: the events to record, in their order, and the answer. */
export interface Verdict {
  readonly outcome: "committed" | "rejected" | "open";
  readonly events: readonly WorkspaceEvent[];
  /** Of a conflict, decided or open. */
  readonly conflict?: string;
}

/** The paths on which a commit is behind, with the strategy of each. A path that it reads and writes is one that it writes. */
export function staleOf(state: WorkspaceState, request: CommitRequest): Stale[] {
  const found: Stale[] = [];
  const { files, rules } = state;
  const written = new Set<string>();
  for (const { path, base, hash, size } of request.writes) {
    written.add(path);
    const current = findFile(files, path);
    // Also if both put the same there: two that count the same thing would else count once.
    if (current === undefined || current.version <= base) continue;
    const ours = hash === undefined ? { size } : { hash, size };
    const strategy = strategyFor(path, request.resolve, rules);
    found.push({ path, role: "write", base, current, ours, strategy });
  }
  for (const { path, base } of request.reads) {
    const current = findFile(files, path);
    if (written.has(path) || current === undefined || current.version <= base) continue;
    const strategy = strategyFor(path, request.resolve, rules);
    found.push({ path, role: "read", base, current, ours: { size: 0 }, strategy });
  }
  return found;
}

/** What is in conflict, for a person and for whoever decides. */
export function clashesOf(
  stale: readonly Stale[],
  evidence: ReadonlyMap<string, Evidence>,
): Clash[] {
  return stale.flatMap((one) => {
    const { base, commits, more, merged } = evidence.get(one.path)!;
    if (commits.length === 0) return [];
    const { version, hash, size } = one.current;
    const theirs = {
      version,
      size,
      commits: [...commits],
      ...(hash === undefined ? {} : { hash }),
    };
    const { version: _, ...read } = base;
    return {
      path: one.path,
      kind: kindOf(one, base),
      strategy: one.strategy,
      base,
      theirs: more === undefined ? theirs : { ...theirs, more },
      ours: one.role === "read" ? read : one.ours,
      ...(merged === undefined ? {} : { merged }),
    };
  });
}

/**
 * Decides about a commit: pure, and the same for the same state, commit and evidence.
 * @param at sequence of the workspace's last record
 * @param clashes what {@link clashesOf} tells
 */
export function judge(
  state: WorkspaceState,
  request: CommitRequest,
  at: number,
  clashes: readonly Clash[],
): Verdict {
  if (clashes.length === 0) return accept(state, request, at, []);
  const id = conflictId(at);
  const decided = clashes.map((clash) => ({ clash, how: decide(clash) }));
  if (decided.some(({ how }) => how === "reject")) {
    return reject({ id, request, clashes: [...clashes], at, by: request.by });
  }
  const detected = { id, request, clashes: forOne(clashes), at };
  if (decided.some(({ how }) => how === "open")) {
    if (Object.keys(state.conflicts).length >= MAX_OPEN) {
      throw new MeshError("OVERLOADED", `${MAX_OPEN} conflicts are open. Decide some of them.`);
    }
    const open: WorkspaceEvent = ["conflict_detected", { ...detected, open: true }];
    return { outcome: "open", events: [open], conflict: id };
  }
  const decisions = decided.map(({ clash, how }) => decision(clash, how as "ours" | "merged"));
  return accept(state, request, at, decisions, { ...detected, by: request.by });
}

/**
 * The state with the way to its last commit made exact: its files were changed by the record at `at`, now that this is known. So
 * finding a commit costs the same however much of others lies between a workspace's records.
 */
export function pinned(state: WorkspaceState, at: number): WorkspaceState {
  const { fresh, files } = state;
  if (fresh.length === 0) return state;
  const exact = at - 1;
  const known = fresh.map((path) => Object.assign({}, findFile(files, path)!, { at: exact }));
  return { ...state, at: exact, fresh: [], files: withFiles(files, known) };
}

/** Who has to decide a clash that cannot be decided at once; undefined: it can. */
export function deciderOf(clash: Clash): StrategyName | undefined {
  if (decide(clash) !== "open") return undefined;
  const { strategy, otherwise } = clash.strategy;
  return strategy === "merge" ? otherwise : strategy;
}

/** Clashes that different ones would have to decide are all for a person: a commit is made as a whole. */
function forOne(clashes: readonly Clash[]): Clash[] {
  const deciders = new Set(clashes.flatMap((clash) => deciderOf(clash) ?? []));
  if (deciders.size <= 1) return [...clashes];
  const strategy = { strategy: "escalate" as const };
  return clashes.map((clash) =>
    deciderOf(clash) === undefined ? clash : Object.assign({}, clash, { strategy }),
  );
}

/** The bases of a waiting commit as of when its conflict was found: what has come since, whoever decided has not seen. */
export function rebased({ request, clashes }: OpenConflict): CommitRequest {
  const seen = new Map(clashes.map(({ path, theirs }) => [path, theirs.version]));
  const rebase = <T extends { path: string; base: number }>(one: T): T => ({
    ...one,
    base: seen.get(one.path) ?? one.base,
  });
  return { ...request, writes: request.writes.map(rebase), reads: request.reads.map(rebase) };
}

/** The same conflict with what has come since: whoever decides must look again. */
export function renew(conflict: OpenConflict, clashes: readonly Clash[], at: number): Verdict {
  const { id, request } = conflict;
  const found = { id, request, clashes: forOne(clashes), open: true, at };
  return { outcome: "open", events: [["conflict_detected", found]], conflict: id };
}

/**
 * Ends an open conflict as somebody has decided; nothing newer stands there than was decided about. What the decisions leave out
 * goes by the strategy itself; `theirs` for one path refuses the commit, which is made as a whole or not at all. Throws `INVALID_INPUT` if that needs a decision, or if the commit makes no sense any more.
 */
export function settle(
  state: WorkspaceState,
  conflict: OpenConflict,
  by: string,
  decisions: readonly Decision[],
  at: number,
): Verdict {
  const { id, request, clashes, ballots } = conflict;
  const given = new Map(decisions.map((one) => [one.path, one]));
  const resolved = clashes.map((clash) => {
    const own = given.get(clash.path);
    const how = own?.winner ?? decide(clash);
    if (how === "open") {
      throw new MeshError("INVALID_INPUT", `Conflict ${id}: ${clash.path} is not decided.`);
    }
    if (how === "theirs" || how === "reject") return toTheirs(clash);
    if (how === "merged" && clash.kind === "read/write") {
      throw new MeshError("INVALID_INPUT", `Conflict ${id}: ${clash.path} was only read.`);
    }
    if (own?.hash === undefined) {
      if (how === "merged" && clash.merged === undefined) {
        const text = `Conflict ${id}: ${clash.path} does not merge cleanly. Choose ours or theirs, or say what shall be there.`;
        throw new MeshError("INVALID_INPUT", text);
      }
      return decision(clash, how);
    }
    return { ...decision(clash, "ours"), winner: how, hash: own.hash, size: own.size ?? 0 };
  });
  const told = { id, request, clashes, at, by, ...(ballots.length > 0 ? { ballots } : {}) };
  if (resolved.some(({ winner }) => winner === "theirs")) {
    const events = [rejection(told, clashes.map(toTheirs))];
    return { outcome: "rejected", events, conflict: id };
  }
  const verdict = accept(state, request, at, resolved, told, true);
  for (const [name, data] of verdict.events) {
    // What has come since may also stand where a directory must be, or under the same name in another case.
    if (name === "committed") demandCommit(state, { ...request, reads: [], writes: data.changes });
  }
  return verdict;
}

/** Ids tell where in the journal a conflict is: behind this sequence. */
export function conflictId(at: number): string {
  return `c${at.toString(36)}`;
}

/** The sequence that a conflict's record comes after; undefined for what is no id of a conflict. */
export function conflictAt(id: string): number | undefined {
  return /^c[0-9a-z]{1,11}$/.test(id) ? Number.parseInt(id.slice(1), 36) : undefined;
}

type Resolution = ConflictResolved["decisions"][number];
type Told = Pick<ConflictDetected, "id" | "request" | "clashes" | "at"> &
  Pick<ConflictResolved, "by" | "ballots">;

function kindOf({ role, ours, current }: Stale, base: Side): Clash["kind"] {
  if (role === "read") return "read/write";
  if (ours.hash === undefined) return "delete/write";
  if (current.hash === undefined) return "write/delete";
  return base.hash === undefined ? "add/add" : "write/write";
}

function decide(clash: Clash): "ours" | "merged" | "reject" | "open" {
  const { strategy, otherwise = "reject" } = clash.strategy;
  const by = (name: StrategyName): ReturnType<typeof decide> => {
    if (name === "lastWriterWins") return "ours";
    if (name === "escalate") return "open";
    if (clash.kind === "read/write" || isPure(name)) return "reject";
    return "open";
  };
  if (strategy !== "merge") return by(strategy);
  return clash.merged === undefined ? by(otherwise) : "merged";
}

function decision(clash: Clash, winner: "ours" | "merged"): Resolution {
  const { hash, size } = (winner === "merged" ? clash.merged : undefined) ?? clash.ours;
  const { path } = clash;
  const { strategy } = clash.strategy;
  return { path, strategy, winner, size, ...(hash === undefined ? {} : { hash }) };
}

function toTheirs({ path, strategy: { strategy }, theirs: { hash, size } }: Clash): Resolution {
  return { path, strategy, winner: "theirs", size, ...(hash === undefined ? {} : { hash }) };
}

/** A refusal names the first clashes only, so that it fits a message however much was to be committed. */
function reject({ id, request, clashes, at, by }: Told): Verdict {
  const named = clashes.slice(0, MAX_NAMED);
  const paths = new Set(named.map(({ path }) => path));
  const part = {
    ...request,
    writes: request.writes.filter(({ path }) => paths.has(path)),
    reads: request.reads.filter(({ path }) => paths.has(path)),
  };
  const found = { id, request: part, clashes: named, open: false, at };
  const more = clashes.length > named.length ? { more: clashes.length - named.length } : {};
  const told = { id, request, clashes: named, at, by };
  const events: WorkspaceEvent[] = [
    ["conflict_detected", { ...found, ...more }],
    rejection(told, named.map(toTheirs)),
  ];
  return { outcome: "rejected", events, conflict: id };
}

function rejection(
  { id, request, at, by, ballots }: Told,
  decisions: Resolution[],
): WorkspaceEvent {
  const resolved = { id, commit: request.id, by, outcome: "rejected" as const, decisions, at };
  return ["conflict_resolved", ballots === undefined ? resolved : { ...resolved, ballots }];
}

function accept(
  before: WorkspaceState,
  request: CommitRequest,
  at: number,
  decisions: readonly Resolution[],
  told?: Told,
  known = false,
): Verdict {
  const decided = new Map(decisions.map((one) => [one.path, one]));
  const state = pinned(before, at);
  const version = state.head + 1;
  const changes = request.writes.flatMap(({ path, base, hash, size }) => {
    const own = decided.get(path);
    const now = findFile(state.files, path);
    if (own?.winner === "theirs" || (hash === undefined && now?.hash === undefined)) return [];
    const last = now
      ? { version: now.version, size: now.size, at: now.at, ...hashOf(now) }
      : { version: 0, size: 0, at: 0 };
    const content = own ?? { size, ...(hash === undefined ? {} : { hash }) };
    return { path, base, size: content.size, ...hashOf(content), before: last };
  });
  const conflict = told?.id;
  const tagged = conflict === undefined ? {} : { conflict };
  if (changes.length === 0 && told === undefined) return { outcome: "committed", events: [] };
  const { id, by, message, intent, parents, reads } = request;
  const commit: Committed = {
    version,
    id,
    by,
    message,
    ...(intent === undefined ? {} : { intent }),
    parents,
    reads,
    changes,
    at,
    previous: state.at,
    ...tagged,
  };
  const events: WorkspaceEvent[] = [];
  if (told) {
    const { clashes, ballots } = told;
    if (!known)
      events.push(["conflict_detected", { id: told.id, request, clashes, open: false, at }]);
    events.push([
      "conflict_resolved",
      {
        id: told.id,
        commit: id,
        by: told.by,
        outcome: "committed",
        decisions: [...decisions],
        version,
        at,
        ...(ballots === undefined ? {} : { ballots }),
      },
    ]);
  }
  events.push(["committed", commit]);
  return { outcome: "committed", events, ...tagged };
}

function hashOf({ hash }: { readonly hash?: string | undefined }): { hash?: string } {
  return hash === undefined ? {} : { hash };
}
