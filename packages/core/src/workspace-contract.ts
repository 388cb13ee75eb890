import { z } from "zod";
import { entity } from "./entity.ts";
import {
  Ballot,
  CommitRequest,
  Committed,
  ConflictDetected,
  ConflictResolved,
  Decision,
  FileState,
  OpenConflict,
  StrategyRule,
  WorkspaceState,
} from "./workspace-model.ts";
import { pinned } from "./workspace-machine.ts";
import { EMPTY_TREE, withFiles } from "./workspace-tree.ts";

/** How a commit, or the decision of a conflict, was answered. */
export const CommitAnswer = z.object({
  outcome: z.enum(["committed", "rejected", "open"]),
  /** Of the commit; of a rejected one, of the workspace. */
  version: z.number().int(),
  conflict: ConflictDetected.optional(),
  resolved: ConflictResolved.optional(),
});
export type CommitAnswer = z.output<typeof CommitAnswer>;

/** A commit of more files leaves the way to its record as it is: some steps longer. */
const MAX_PINNED = 200;
const Paths = z.array(z.string()).max(5_000);
const Count = z.number().int().nonnegative();
/** What stood under each path of a conflict, as whoever decides has seen it: for anything newer it does not count. */
const Seen = z.record(z.string(), Count);

/** Every workspace of a mesh is a key of this entity: its tree is the fold of its commits, and its owner decides about each. */
export const Workspaces = entity("workspace", {
  description: "Versioned trees of files that many agents edit at once",
  partitions: 16,
  lease: "2s",
  state: WorkspaceState,
  initial: { head: 0, at: 0, fresh: [], files: EMPTY_TREE, conflicts: {}, rules: [] },
  events: {
    committed: Committed,
    conflict_detected: ConflictDetected,
    conflict_resolved: ConflictResolved,
    ballot_cast: Ballot.extend({ id: z.string(), at: Count }),
    strategies_set: z.object({ by: z.string(), rules: z.array(StrategyRule), at: Count }),
  },
  fold: {
    committed: (state, { version, by, changes, at }) => ({
      ...state,
      head: version,
      at,
      fresh: changes.length > MAX_PINNED ? [] : changes.map(({ path }) => path),
      files: withFiles(
        pinned(state, at).files,
        changes.map(({ path, hash, size }) => ({
          path,
          version,
          size,
          at,
          by,
          ...(hash === undefined ? {} : { hash }),
        })),
      ),
    }),
    conflict_detected: (state, { id, request, clashes, open, at }) => {
      const known = pinned(state, at);
      if (!open) return known;
      const conflict = { id, request, clashes, ballots: [] };
      return { ...known, conflicts: { ...state.conflicts, [id]: conflict } };
    },
    conflict_resolved: (state, { id, at }) => {
      const { [id]: _, ...conflicts } = state.conflicts;
      return { ...pinned(state, at), conflicts };
    },
    ballot_cast: (state, { id, by, ranking, at }) => {
      const known = pinned(state, at);
      const conflict = state.conflicts[id];
      if (conflict === undefined) return known;
      const ballots = [...conflict.ballots.filter((one) => one.by !== by), { by, ranking }];
      return { ...known, conflicts: { ...state.conflicts, [id]: { ...conflict, ballots } } };
    },
    strategies_set: (state, { rules, at }) => ({ ...pinned(state, at), rules }),
  },
  commands: {
    commit: { input: CommitRequest, output: CommitAnswer },
    resolve: {
      input: z.object({
        id: z.string(),
        by: z.string(),
        decisions: z.array(Decision),
        seen: Seen,
      }),
      output: CommitAnswer,
    },
    ballot: { input: Ballot.extend({ id: z.string(), seen: Seen }), output: CommitAnswer },
    /** Ends a vote with the ballots that there are. */
    tally: { input: z.object({ id: z.string(), by: z.string() }), output: CommitAnswer },
    stat: {
      input: Paths,
      output: z.object({
        head: Count,
        /** Of the last commit: sequence of the record before it. */
        at: Count,
        /** Of the last record. */
        sequence: Count,
        files: z.array(FileState),
        rules: z.array(StrategyRule),
      }),
    },
    list: {
      input: z.object({ bucket: Count }),
      output: z.object({ head: Count, files: z.array(FileState), next: Count.optional() }),
    },
    /** The ids of those that are open. */
    conflicts: { input: z.void(), output: z.array(z.string()) },
    conflict: { input: z.string(), output: OpenConflict.optional() },
    strategies: {
      input: z.object({ by: z.string(), rules: z.array(StrategyRule).max(100) }),
      output: z.void(),
    },
  },
});
