import { setTimeout as sleep } from "node:timers/promises";
import {
  MeshError,
  deciderOf,
  demandStrategy,
  isMeshError,
  toMs,
  type Clash,
  type CommitAnswer,
  type ConflictDetected,
  type ConflictResolved,
  type Decision,
  type Duration,
  type Side,
  type Strategy,
  type StrategyName,
} from "@plexus/core";
import { textOf, unifiedDiff } from "./text-merge.ts";
import type { WorkspaceTree } from "./workspace-files.ts";
import type { WorkspaceServices } from "./workspace-services.ts";

/** What a function that merges is given: the texts, absent where there is none. */
export interface MergeInput {
  readonly path: string;
  readonly base: string | undefined;
  readonly ours: string | undefined;
  readonly theirs: string | undefined;
  /** By whom and why theirs is what it is. */
  readonly clash: Clash;
}

/** A merge by meaning: by a model, for example. */
export interface SemanticMerge {
  /** The text that keeps what both sides want. Throws if there is none. */
  merge(this: void, input: MergeInput): string | Promise<string>;
  /** Whether the tree with the merged files is good: whether it compiles, whether its tests pass. Default: any is. */
  check?(this: void, tree: WorkspaceTree): boolean | Promise<boolean>;
}

/** How conflicts are decided: a strategy by its name, or with its settings. */
export type StrategyOption =
  | StrategyName
  | { readonly strategy: "reject" | "lastWriterWins" | "escalate" }
  | { readonly strategy: "merge"; readonly otherwise?: StrategyName }
  | ({ readonly strategy: "semantic"; readonly otherwise?: StrategyName } & Partial<SemanticMerge>)
  | {
      readonly strategy: "vote";
      /** Ballots that decide it. */
      readonly voters: number;
      readonly method?: "borda" | "rankedChoice";
      /** How long the commit waits for them; then those that are there decide. Default 30 s. */
      readonly timeout?: Duration;
      readonly otherwise?: StrategyName;
    };

/** A clash, and what the other side has changed since the base. */
export interface ExplainedClash extends Clash {
  readonly diff?: string;
}

const VOTE_TIMEOUT = "30s";
const MAX_EXPLAINED = 20; // paths whose diff goes with a rejection
const MAX_DIFF = 16_384; // characters
const MERGES = 5; // times that others may commit while a merge is made

/** What of a strategy goes to the owner. Throws `INVALID_INPUT`. */
export function strategyOf(option: StrategyOption): Strategy {
  if (typeof option === "string") return demandStrategy({ strategy: option });
  const { strategy } = option;
  const { otherwise } = option as { otherwise?: StrategyName };
  const { voters, method } = option as { voters?: number; method?: "borda" | "rankedChoice" };
  return demandStrategy({
    strategy,
    ...(otherwise === undefined ? {} : { otherwise }),
    ...(voters === undefined ? {} : { voters }),
    ...(method === undefined ? {} : { method }),
  });
}

/** What deciding needs of a workspace. */
export interface DecisionSite {
  readonly services: WorkspaceServices;
  readonly agent: string;
  /** Decides about what the conflict names; if more has come since, it stays open. */
  resolve(
    conflict: Pick<ConflictDetected, "id" | "clashes">,
    decisions: readonly Decision[],
    by?: string,
  ): Promise<CommitAnswer>;
  tally(id: string): Promise<CommitAnswer>;
  /** Resolves when a conflict is decided. */
  decided(id: string, signal?: AbortSignal): Promise<ConflictResolved>;
  /** The newest version, with some files replaced. */
  preview(files: ReadonlyMap<string, Omit<Side, "version">>): Promise<WorkspaceTree>;
}

/** Sees an open conflict through, by whatever its strategy asks for. */
export async function seeThrough(
  site: DecisionSite,
  conflict: ConflictDetected,
  option: StrategyOption | undefined,
  semantic: SemanticMerge | undefined,
  signal: AbortSignal | undefined,
): Promise<ConflictResolved> {
  const { id } = conflict;
  const decider = conflict.clashes.map(deciderOf).find((one) => one !== undefined);
  if (decider === "semantic" && semantic) {
    const resolved = await mergeByMeaning(site, conflict, semantic);
    if (resolved) return resolved;
  } else if (decider === "vote") {
    const { timeout = VOTE_TIMEOUT } = (option ?? {}) as { timeout?: Duration };
    const stop = new AbortController();
    const over = sleep(toMs(timeout), undefined, { signal: stop.signal }).then(
      () => site.tally(id).catch(() => undefined), // or it was decided at that moment
      () => undefined,
    );
    try {
      return await site.decided(id, signal);
    } finally {
      stop.abort();
      await over;
    }
  }
  return site.decided(id, signal);
}

/** @returns undefined: it is left to a person, or somebody else has decided it */
async function mergeByMeaning(
  site: DecisionSite,
  first: ConflictDetected,
  { merge, check }: SemanticMerge,
): Promise<ConflictResolved | undefined> {
  let conflict = first;
  for (let round = 0; round < MERGES; round++) {
    // Again only if others have committed meanwhile.
    const mine = conflict.clashes.filter((clash) => deciderOf(clash) === "semantic");
    if (mine.length === 0) return undefined; // what has come since is for somebody else
    let decisions: Decision[];
    try {
      decisions = await Promise.all(mine.map((clash) => mergeOne(site, clash, merge)));
      if (check && !(await check(await site.preview(previewOf(conflict, decisions))))) {
        throw new Error("the check refuses the merge");
      }
    } catch (error) {
      site.services.runtime.log.warn({ err: error, conflict: conflict.id }, "no merge by meaning");
      if (mine.some(({ strategy }) => strategy.otherwise === "escalate")) return undefined;
      decisions = mine.map(instead);
    }
    const decide = (about: readonly Decision[]): Promise<CommitAnswer> =>
      site.resolve(conflict, about, "semantic");
    const answer = await decide(decisions)
      .catch((error: unknown) => {
        if (!isMeshError(error, "INVALID_INPUT")) throw error;
        return decide(mine.map(({ path }) => ({ path, winner: "theirs" }))); // it makes no sense any more
      })
      .catch(unlessDecided);
    if (answer === undefined || answer.resolved) return answer?.resolved;
    conflict = answer.conflict!;
  }
  return undefined;
}

/** What becomes of a path whose merge has failed. */
function instead({ path, merged, strategy: { otherwise: how } }: Clash): Decision {
  if (how === "lastWriterWins") return { path, winner: "ours" };
  return { path, winner: how === "merge" && merged ? "merged" : "theirs" };
}

/** Somebody else has decided it meanwhile: the journal tells how. */
function unlessDecided(error: unknown): undefined {
  if (!isMeshError(error, "NO_FILE")) throw error;
}

async function mergeOne(
  { services }: DecisionSite,
  clash: Clash,
  merge: SemanticMerge["merge"],
): Promise<Decision> {
  const [base, ours, theirs] = await Promise.all(
    [clash.base, clash.ours, clash.theirs].map(async ({ hash, size }) => {
      if (hash === undefined) return undefined;
      const text = textOf(await services.get({ hash, size }));
      if (text === undefined) throw new MeshError("INVALID_INPUT", `${clash.path} is not a text.`);
      return text;
    }),
  );
  const { path } = clash;
  const text = await merge({ path, base, ours, theirs, clash });
  return { path, winner: "merged", ...(await services.put(Buffer.from(text))) };
}

function previewOf(
  { request, clashes }: ConflictDetected,
  decisions: readonly Decision[],
): Map<string, Omit<Side, "version">> {
  const files = new Map<string, Omit<Side, "version">>(
    request.writes.map(({ path, hash, size }) => [
      path,
      hash === undefined ? { size } : { hash, size },
    ]),
  );
  for (const { path, merged } of clashes) if (merged) files.set(path, merged);
  for (const { path, hash, size = 0 } of decisions)
    if (hash !== undefined) files.set(path, { hash, size });
  return files;
}

/** Why a commit was refused, with what the others have changed. */
export async function conflictError(
  services: WorkspaceServices,
  { id, request, clashes }: ConflictDetected,
): Promise<MeshError> {
  const explained = await Promise.all(
    clashes.map(async (clash, n): Promise<ExplainedClash> => {
      if (n >= MAX_EXPLAINED) return clash;
      const diff = await diffOf(services, clash).catch(() => undefined);
      return diff === undefined ? clash : { ...clash, diff };
    }),
  );
  const { path, kind, theirs } = clashes[0]!;
  const who = theirs.commits[0];
  const others = clashes.length > 1 ? ` and ${clashes.length - 1} more` : "";
  const text = `${request.message || request.id}: ${kind} conflict on ${path}${others}: ${who?.by ?? "somebody"} committed version ${who?.version ?? theirs.version}${who?.message ? ` (${who.message})` : ""} first.`;
  return new MeshError("CONFLICT", text, { details: { conflict: id, clashes: explained } });
}

async function diffOf(services: WorkspaceServices, { path, base, theirs }: Clash): Promise<string> {
  const [before, after] = await Promise.all(
    [base, theirs].map(async ({ hash, size }) =>
      hash === undefined ? undefined : services.get({ hash, size }),
    ),
  );
  const diff = unifiedDiff(path, before, after);
  return diff.length <= MAX_DIFF ? diff : `${diff.slice(0, MAX_DIFF)}…\n`;
}
