import {
  MeshError,
  Workspaces,
  clashesOf,
  demandCommit,
  demandStrategy,
  elect,
  filesOf,
  findFile,
  isMeshError,
  judge,
  rebased,
  renew,
  settle,
  staleOf,
  type Clash,
  type CommitAnswer,
  type CommitNote,
  type CommitRequest,
  type Committed,
  type Decision,
  type Evidence,
  type FileState,
  type OpenConflict,
  type Side,
  type Stale,
  type Verdict,
  type WorkspaceState,
} from "@plexus/core";
import type { EntityContext } from "./command-scope.ts";
import type { EntityHandlers } from "./entity-host.ts";
import { mergeLines, textOf } from "./text-merge.ts";
import { WorkspaceJournal, changeIn } from "./workspace-journal.ts";
import type { WorkspaceServices } from "./workspace-services.ts";

type Owned = EntityContext<typeof Workspaces>;
type Content = Omit<Side, "version">;

const MAX_NOTES = 16; // commits that a conflict names, of each path
const MAX_ALL_NOTES = 512; // of all paths
const MAX_WORDS = 200; // characters of a message that a note repeats
const MAX_WALK = 10_000; // commits of one file that a base may be behind
const PAGE = 256 * 1024; // bytes of one answer to a listing, a bucket more at most
const FILE = 160; // bytes of a file in it, without its path
/** Of a vote that is a tie: what is there stays. */
const CANDIDATES = ["theirs", "merged", "ours"];

/** The commands of workspaces, as the owner of one executes them: one at a time. */
export function workspaceHandlers(services: WorkspaceServices): EntityHandlers<typeof Workspaces> {
  const journals = new Map<string, WorkspaceJournal>();
  const journalOf = (workspace: string): WorkspaceJournal => {
    let journal = journals.get(workspace);
    if (journal === undefined) {
      journal = new WorkspaceJournal(services, workspace);
      journals.set(workspace, journal);
    }
    return journal;
  };
  const clash = (state: WorkspaceState, request: CommitRequest, key: string): Promise<Clash[]> =>
    findClashes(services, journalOf(key), state, request);

  /** Ends a conflict, unless somebody has written meanwhile: then it is found anew. */
  const decide = async (
    context: Owned,
    conflict: OpenConflict,
    by: string,
    decisions: readonly Decision[],
  ): Promise<CommitAnswer> => {
    const { state, version, key } = context;
    const since = await clash(state, rebased(conflict), key);
    const verdict =
      since.length === 0
        ? settle(state, conflict, by, decisions, version)
        : renew(conflict, await clash(state, conflict.request, key), version);
    return carryOut(context, verdict);
  };

  /** Counts the ballots of a vote. */
  const count = async (context: Owned, conflict: OpenConflict): Promise<CommitAnswer> => {
    const { clashes, ballots } = conflict;
    const contested = clashes.filter(({ strategy }) => strategy.strategy === "vote");
    const candidates = CANDIDATES.filter(
      (name) => name !== "merged" || contested.every(({ merged }) => merged !== undefined),
    );
    const rankings = ballots.map(({ ranking }) => ranking);
    const winner = elect(candidates, rankings, contested[0]?.strategy.method) as Decision["winner"];
    const decided = (outcome: Decision["winner"]): Promise<CommitAnswer> => {
      const decisions = contested.map(({ path }) => ({ path, winner: outcome }));
      return decide(context, conflict, "vote", decisions);
    };
    try {
      return await decided(winner);
    } catch (error) {
      if (!isMeshError(error, "INVALID_INPUT")) throw error;
      return decided("theirs"); // the commit makes no sense any more
    }
  };

  return {
    commit: async (request, context) => {
      const { state, version, key } = context;
      if (request.id !== context.id) {
        throw new MeshError("INVALID_INPUT", "The id of a commit is that of its command.");
      }
      if (request.resolve) demandStrategy(request.resolve);
      demandCommit(state, request);
      const clashes = await clash(state, request, key);
      return carryOut(context, judge(state, request, version, clashes));
    },
    resolve: ({ id, by, decisions, seen }, context) => {
      const conflict = demandOpen(context.state, id);
      if (!hasSeen(conflict, seen)) return stillOpen(context, conflict);
      return decide(context, conflict, by, decisions);
    },
    ballot: ({ id, by, ranking, seen }, context) => {
      const before = demandOpen(context.state, id);
      const voters = votersOf(before);
      if (!hasSeen(before, seen)) return stillOpen(context, before);
      context.emit("ballot_cast", { id, by, ranking, at: context.version });
      const conflict = demandOpen(context.state, id);
      if (conflict.ballots.length < voters) return stillOpen(context, conflict);
      return count(context, conflict);
    },
    tally: ({ id, by }, context) => {
      const conflict = demandOpen(context.state, id);
      votersOf(conflict);
      if (conflict.ballots.length > 0) return count(context, conflict);
      const { otherwise = "reject" } = conflict.clashes.find(isVote)!.strategy;
      if (otherwise === "escalate" || otherwise === "semantic") {
        return stillOpen(context, conflict);
      }
      const winner: Decision["winner"] = otherwise === "lastWriterWins" ? "ours" : "theirs";
      const decisions = conflict.clashes.filter(isVote).map((one) => ({
        path: one.path,
        winner: otherwise === "merge" && one.merged ? ("merged" as const) : winner,
      }));
      return decide(context, conflict, by, decisions);
    },
    stat: (paths, { state, version }) => ({
      head: state.head,
      at: state.at,
      sequence: version,
      files: paths.flatMap((path) => findFile(state.files, path) ?? []),
      rules: state.rules,
    }),
    list: ({ bucket }, { state }) => {
      const files: FileState[] = [];
      let [next, bytes] = [bucket, 0];
      while (next < state.files.length && bytes < PAGE) {
        const own = [...filesOf([state.files[next++]!], true)];
        for (const { path } of own) bytes += FILE + Buffer.byteLength(path);
        files.push(...own);
      }
      const more = next < state.files.length ? { next } : {};
      return { head: state.head, files, ...more };
    },
    conflicts: (_input, { state }) => Object.keys(state.conflicts),
    conflict: (id, { state }) => state.conflicts[id],
    strategies: (input, context) => {
      for (const rule of input.rules) demandStrategy(rule);
      context.emit("strategies_set", { ...input, at: context.version });
    },
  };
}

/** The conflicts of a commit: what costs grows with the commits that it has not seen, and with nothing else. */
async function findClashes(
  services: WorkspaceServices,
  journal: WorkspaceJournal,
  state: WorkspaceState,
  request: CommitRequest,
): Promise<Clash[]> {
  const stale = staleOf(state, request);
  if (stale.length === 0) return [];
  const parents = new Set(request.parents);
  const notes = Math.min(MAX_NOTES, Math.max(1, Math.floor(MAX_ALL_NOTES / stale.length)));
  const evidence = new Map<string, Evidence>();
  await Promise.all(
    stale.map(async (one) => {
      evidence.set(one.path, await findEvidence(services, journal, one, parents, notes));
    }),
  );
  return clashesOf(stale, evidence);
}

async function findEvidence(
  services: WorkspaceServices,
  journal: WorkspaceJournal,
  stale: Stale,
  parents: ReadonlySet<number>,
  notes: number,
): Promise<Evidence> {
  const { path, base, current } = stale;
  const commits: CommitNote[] = [];
  let unseen = 0;
  let side: Side & { at: number } = current;
  for (let steps = 0; side.version > base; steps++) {
    if (steps >= MAX_WALK) {
      const text = `${path} has changed more than ${MAX_WALK} times since version ${base}. Read it again.`;
      throw new MeshError("CONFLICT", text, { retryable: false });
    }
    // Each one names the one before.
    const commit = await journal.commit(side.version, side.at);
    if (!parents.has(commit.version) && unseen++ < notes) commits.push(noteOf(commit));
    side = changeIn(commit, path).before;
  }
  const { at: _, ...found } = side;
  const { version, size, hash } = found;
  const known: Evidence = {
    base: { version, size, ...(hash === undefined ? {} : { hash }) },
    commits,
    ...(unseen > commits.length ? { more: unseen - commits.length } : {}),
  };
  const merged = commits.length > 0 ? await merge(services, stale, known.base) : undefined;
  return merged === undefined ? known : { ...known, merged };
}

/** The line-based merge, if the strategy asks for it and both sides are texts. */
async function merge(
  services: WorkspaceServices,
  { role, strategy, current, ours }: Stale,
  base: Side,
): Promise<Content | undefined> {
  const names = new Set([strategy.strategy, strategy.otherwise]);
  if (role === "read" || !(names.has("merge") || names.has("vote"))) return undefined;
  if (current.hash === ours.hash) return ours;
  if (current.hash === undefined || ours.hash === undefined) return undefined;
  const texts = await Promise.all(
    [base, ours, current].map(async ({ hash, size }) =>
      hash === undefined ? "" : textOf(await services.get({ hash, size })),
    ),
  );
  const [old, own, other] = texts;
  if (old === undefined || own === undefined || other === undefined) return undefined;
  const text = mergeLines(old, own, other);
  return text === undefined ? undefined : services.put(Buffer.from(text));
}

function carryOut(context: Owned, { outcome, events }: Verdict): CommitAnswer {
  const answer: CommitAnswer = { outcome, version: context.state.head };
  for (const [name, data] of events) {
    context.emit(name, data);
    if (name === "conflict_detected") answer.conflict = data;
    else if (name === "conflict_resolved") answer.resolved = data;
    else answer.version = data.version;
  }
  return answer;
}

function demandOpen({ conflicts }: WorkspaceState, id: string): OpenConflict {
  if (Object.hasOwn(conflicts, id)) return conflicts[id]!;
  throw new MeshError("NO_FILE", `No conflict ${id} is open.`);
}

/** Whether somebody knows what stands there, as far as the conflict does. */
function hasSeen({ clashes }: OpenConflict, seen: Readonly<Record<string, number>>): boolean {
  return clashes.every(({ path, theirs }) => seen[path] === theirs.version);
}

function isVote({ strategy }: Clash): boolean {
  return strategy.strategy === "vote";
}

function votersOf({ id, clashes }: OpenConflict): number {
  const voters = clashes.find(isVote)?.strategy.voters;
  if (voters !== undefined) return voters;
  throw new MeshError("INVALID_INPUT", `Conflict ${id} is not decided by a vote.`);
}

function stillOpen({ state, version }: Owned, conflict: OpenConflict): CommitAnswer {
  const { id, request, clashes } = conflict;
  const found = { id, request, clashes, open: true, at: version };
  return { outcome: "open", version: state.head, conflict: found };
}

function noteOf({ version, id, by, message, intent }: Committed): CommitNote {
  const note = { version, id, by, message: message.slice(0, MAX_WORDS) };
  return intent === undefined ? note : { ...note, intent: intent.slice(0, MAX_WORDS) };
}
