import * as z from "zod";
import type { Changes, Tree } from "../tree.ts";

/** One place where a rule finds something to do. */
export interface Spot {
  readonly path: string;
  /** What is there, in the project's own words: a name, an expression. */
  readonly key: string;
}

export const RuleName = z.enum([
  "rename",
  "extract",
  "strict-equality",
  "plain-loop",
  "null-check",
  "dead-export",
  "split",
  "test",
  "document",
  "unused-import",
  "broken-import",
]);
export type RuleName = z.output<typeof RuleName>;

/** A piece of work for one agent: all that a rule finds about one subject. */
export const Job = z.object({
  rule: RuleName,
  /** What it is about: a name, or the file where it began. */
  subject: z.string(),
  /** What a name becomes. */
  to: z.string().optional(),
  /** Somebody's tests failed after the plain way: take the careful one. */
  careful: z.boolean().optional(),
});
export type Job = z.output<typeof Job>;

/** A kind of refactoring, as pure functions on a tree. */
export interface Rule {
  /** Subjects that there is something to do about. */
  subjects(tree: Tree): Pick<Job, "subject" | "to">[];
  /** What is left to do for a job. */
  spots(tree: Tree, job: Job): Spot[];
  /** Files that its outcome depends on. May name such as are not there. Default: those of its spots. */
  reads?(tree: Tree, job: Job): string[];
  /** What becomes of the files; it may take time, where code has to run. */
  fix(tree: Tree, job: Job, signal: AbortSignal): Changes | Promise<Changes>;
  /** In a few words, for a log. */
  title(job: Job): string;
  /** In a sentence, for a model. */
  readonly brief: string;
}

/** The files that the outcome of a job depends on. */
export function readsOf(rule: Rule, tree: Tree, job: Job): string[] {
  return rule.reads?.(tree, job) ?? [...new Set(rule.spots(tree, job).map(({ path }) => path))];
}

/** `src/misc-text.ts` was split off `src/misc.ts`, which is still what jobs about it are called after. */
export function homeOf(path: string): string {
  return path.replace(/-[a-z]+(?=\.ts$)/, "");
}

/** Where the tests of a module are, or would be. */
export function testOf(path: string): string {
  return homeOf(path).replace(/^src\/(.*)\.ts$/, "test/$1.test.ts");
}

/** Subjects of a rule whose subjects are files. */
export function byFile(spots: readonly Spot[]): { subject: string }[] {
  return [...new Set(spots.map(({ path }) => homeOf(path)))].map((subject) => ({ subject }));
}
