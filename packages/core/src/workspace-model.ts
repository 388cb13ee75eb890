import { z } from "zod";
import { STRATEGIES } from "./workspace-strategy.ts";

const Count = z.number().int().nonnegative();
/** SHA-256 of the content, base64url. */
const Hash = z.string().regex(/^[A-Za-z0-9_-]{43}$/);
const Name = z.string().min(1).max(256);
const Path = z.string().min(1).max(1_024);

/** What stands under a path at some version of the workspace; without a hash, nothing does. */
export const Side = z.object({ version: Count, hash: Hash.optional(), size: Count });
export type Side = z.output<typeof Side>;

/** What stands under a path, since which commit. */
export const FileState = Side.extend({
  path: Path,
  /** The next record of the workspace's journal after this sequence is that commit. */
  at: Count,
  by: Name,
});
export type FileState = z.output<typeof FileState>;

export const Strategy = z.object({
  strategy: z.enum(STRATEGIES),
  /** What is done where the strategy cannot decide. Default: reject. */
  otherwise: z.enum(STRATEGIES).optional(),
  /** Of a vote: how many ballots decide it, and how they are counted. */
  voters: z.number().int().min(1).max(100).optional(),
  method: z.enum(["borda", "rankedChoice"]).optional(),
});
export type Strategy = z.output<typeof Strategy>;

/** Which strategy is for which paths: the first rule that matches. */
export const StrategyRule = Strategy.extend({ paths: z.string().min(1).max(1_024) });
export type StrategyRule = z.output<typeof StrategyRule>;

/** One path that a commit writes; without a hash it is removed. */
export const Write = z.object({
  path: Path,
  /** The version of the workspace, or of the file, that the writer saw there. */
  base: Count,
  hash: Hash.optional(),
  size: Count,
});
export type Write = z.output<typeof Write>;

/** One path that a commit depends on without writing it. */
export const Read = z.object({ path: Path, base: Count });
export type Read = z.output<typeof Read>;

/** The most that one commit may read and write, and the most conflicts that may be open. */
export const MAX_PATHS = 5_000;
export const MAX_OPEN = 1_000;

/** What an agent wants to commit, and what it has seen. */
export const CommitRequest = z.object({
  id: Name,
  by: Name,
  message: z.string().max(4_096),
  intent: z.string().max(4_096).optional(),
  writes: z.array(Write).max(MAX_PATHS),
  reads: z.array(Read).max(MAX_PATHS),
  /** Versions of commits that it has taken into account although its bases are older. */
  parents: z.array(Count).max(1_000),
  resolve: Strategy.optional(),
});
export type CommitRequest = z.output<typeof CommitRequest>;

/** A commit in few words. */
export const CommitNote = z.object({
  version: Count,
  id: Name,
  by: Name,
  message: z.string(),
  intent: z.string().optional(),
});
export type CommitNote = z.output<typeof CommitNote>;

const CONFLICT_KINDS = [
  "write/write",
  "write/delete",
  "delete/write",
  "add/add",
  "read/write",
] as const;

/** One path on which a commit and commits that it has not seen disagree. */
export const Clash = z.object({
  path: Path,
  kind: z.enum(CONFLICT_KINDS),
  strategy: Strategy,
  base: Side,
  /** What stands there, and the commits that the writer had not seen, the newest first; `more`: so many more. */
  theirs: Side.extend({ commits: z.array(CommitNote), more: Count.optional() }),
  /** What the commit would put there; for a path that it only read, what it read. */
  ours: Side.omit({ version: true }),
  /** The three-way merge of the lines, where it was tried and is clean. */
  merged: Side.omit({ version: true }).optional(),
});
export type Clash = z.output<typeof Clash>;

const WINNERS = ["ours", "theirs", "merged"] as const;

/** What is to stand under a path that was in conflict. */
export const Decision = z.object({
  path: Path,
  winner: z.enum(WINNERS),
  /** Of a merge: its content. */
  hash: Hash.optional(),
  size: Count.optional(),
});
export type Decision = z.output<typeof Decision>;

export const Ballot = z.object({ by: Name, ranking: z.array(z.enum(WINNERS)).min(1).max(3) });
export type Ballot = z.output<typeof Ballot>;

/** A commit that waits until its conflict is decided. */
export const OpenConflict = z.object({
  id: Name,
  request: CommitRequest,
  clashes: z.array(Clash),
  ballots: z.array(Ballot),
});
export type OpenConflict = z.output<typeof OpenConflict>;

/** One change of a commit: what stands there now, what the writer saw, and what stood there before. */
export const Change = z.object({
  path: Path,
  hash: Hash.optional(),
  size: Count,
  base: Count,
  before: Side.extend({ at: Count }),
});
export type Change = z.output<typeof Change>;

export const Committed = z.object({
  version: Count,
  id: Name,
  by: Name,
  message: z.string(),
  intent: z.string().optional(),
  parents: z.array(Count),
  reads: z.array(Read),
  changes: z.array(Change),
  /** Sequence of the record before this one. */
  at: Count,
  /** The same of the commit before. */
  previous: Count,
  /** The conflict that this commit came through. */
  conflict: Name.optional(),
});
export type Committed = z.output<typeof Committed>;

export const ConflictDetected = z.object({
  id: Name,
  request: CommitRequest,
  clashes: z.array(Clash),
  /** So many more, of a refused commit; nor does its request hold more than those paths. */
  more: Count.optional(),
  /** It waits for agents or a person. Otherwise it is decided in the same record. */
  open: z.boolean(),
  /** Sequence of the record before this one. */
  at: Count,
});
export type ConflictDetected = z.output<typeof ConflictDetected>;

export const ConflictResolved = z.object({
  id: Name,
  commit: Name,
  /** Who decided: an agent, a person, or the strategy itself. */
  by: Name,
  outcome: z.enum(["committed", "rejected"]),
  /** For each path: the strategy that decided, the winner, and what stands there. */
  decisions: z.array(
    z.object({
      path: Path,
      strategy: z.enum(STRATEGIES),
      winner: z.enum(WINNERS),
      hash: Hash.optional(),
      size: Count,
    }),
  ),
  ballots: z.array(Ballot).optional(),
  version: Count.optional(),
  /** Sequence of the record before this one. */
  at: Count,
});
export type ConflictResolved = z.output<typeof ConflictResolved>;

export const WorkspaceState = z.object({
  /** How many commits there are: the version of the workspace. */
  head: Count,
  /** Of the last commit: sequence of the record before it. */
  at: Count,
  /** The paths of the last record, if that is a commit whose own sequence is not known yet. */
  fresh: z.array(Path),
  files: z.array(z.array(FileState)),
  conflicts: z.record(z.string(), OpenConflict),
  rules: z.array(StrategyRule),
});
export type WorkspaceState = z.output<typeof WorkspaceState>;
