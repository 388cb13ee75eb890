import type { Action, ClashedFile, News } from "./action.ts";
import type { Tree } from "./tree.ts";

/** The project at one moment. */
export interface Snapshot {
  /** Of the workspace; a plain folder has none. */
  readonly version: number | undefined;
  readonly tree: Tree;
}

/** Thrown by who works on a draft and begins anew, because somebody changed what it is about. */
export class StartsOver extends Error {}

/** What one agent is about to change. Nothing of it is seen before it lands. */
export interface Draft {
  /** A file as it is now, or undefined; the change depends on it. */
  read(path: string): Promise<string | undefined>;
  write(path: string, text: string | null): void;
  /**
   * Fires when somebody else changes what was read here. A plain folder never tells.
   * @returns what ends it
   */
  onUpdate(told: (update: Update) => void): () => void;
}

export interface Update {
  readonly path: string;
  readonly by: string;
  readonly title: string;
  readonly version: number;
}

/** One change, by whom and about what. */
export interface Attempt {
  /** Of the job, and so of its commit. */
  readonly id: string;
  readonly agent: string;
  readonly title: string;
  /** Where it meets a change that it has not seen, the others vote, instead of merging or refusing it. */
  readonly vote: boolean;
}

/** A change that met others which its author had not seen. */
export interface Clash {
  readonly conflict: string;
  readonly files: ClashedFile[];
  readonly strategy: string;
}

/** What became of a change. */
export interface Landing {
  readonly landed: boolean;
  readonly version: number | undefined;
  /** Decided for it if it landed, the reason if it did not. */
  readonly clash: Clash | undefined;
  /** In a plain folder: what was overwritten without having been seen. */
  readonly unseen: readonly { readonly path: string; readonly by: string }[];
}

/** A change that is part of the project's history. */
export interface Commit {
  readonly version: number;
  readonly agent: string;
  readonly title: string;
  /** The job it was for, or another name of its own. */
  readonly id: string;
  readonly at: number;
  readonly paths: readonly string[];
}

/** What a workplace knows of the past. A plain folder knows nothing. */
export interface History {
  /** All commits, the oldest first. */
  commits(): Promise<readonly Commit[]>;
  tree(version: number): Promise<Tree>;
}

export type Candidate = ClashedFile["winner"];

/** A commit that waits for the votes of the others, and what it would replace. */
export interface Election {
  readonly ours: { readonly by: string; readonly title: string };
  readonly clash: Clash;
}

/** Where agents work on one project: a workspace of the mesh, or a plain folder. */
export interface Workplace {
  readonly agent: string;
  snapshot(): Promise<Snapshot>;
  /** Runs `work` on a draft and brings it in, all of it or nothing. */
  attempt(attempt: Attempt, work: (draft: Draft) => Promise<void>): Promise<Landing>;
  /** Tells everybody. */
  tell(news: News): Promise<void>;
  /** What all have told since the run began, in order, once each. Ends with the signal. */
  actions(signal: AbortSignal): AsyncIterable<Action>;
  readonly history: History | undefined;
  /** Takes part in votes on commits that wait for one. */
  judge(decide: (election: Election) => Promise<Candidate>): Promise<AsyncDisposable>;
}
