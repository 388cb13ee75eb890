import type { Models } from "@plexus/llm";
import * as z from "zod";
import { inFolder } from "../folder.ts";
import { type Job, readsOf } from "../rules/rule.ts";
import { ruleOf } from "../rules/rules.ts";
import { runTests } from "../run-tests.ts";
import { parse } from "../syntax.ts";
import { changed, type Changes, type Tree } from "../tree.ts";
import { type Author, rulesAuthor } from "./author.ts";

const SYSTEM =
  "You refactor a small TypeScript project. You get one task and the files it is about. Answer with every file that you " +
  "change or add, complete, or with null as its text if it goes. Change nothing that the task does not ask for. " +
  "Relative imports end in .ts; types are erased, so no enums or namespaces.";

const Answer = z.object({
  files: z.array(z.object({ path: z.string(), text: z.string().nullable() })),
});

/** Where an answer may write. */
const PATH = /^(src|test)\/[\w-]+(\.test)?\.ts$/;

/**
 * Has a model find the changes. They are taken if they do the job, by the rule's own measure, and the project's tests pass;
 * otherwise the rules do it, and that is told.
 */
export function modelAuthor(models: Models, agent: string): Author {
  return {
    async propose(job, tree, signal) {
      try {
        const changes = await ask(models, agent, { job, tree, signal });
        if (await isGood(job, tree, changes, signal)) return { changes, by: "model" };
      } catch (error) {
        signal.throwIfAborted();
        if (!isModelsFault(error)) throw error;
      }
      const { changes } = await rulesAuthor.propose(job, tree, signal);
      return { changes, by: "rules instead of the model" };
    },
  };
}

/** The model, or what it wrote, and not this process. */
export function isModelsFault(error: unknown): boolean {
  return error instanceof SyntaxError || (error instanceof Error && "code" in error);
}

async function ask(
  models: Models,
  agent: string,
  { job, tree, signal }: { job: Job; tree: Tree; signal: AbortSignal },
): Promise<Changes> {
  const rule = ruleOf(job);
  const files = readsOf(rule, tree, job).map((path) => {
    const text = tree.get(path);
    return text === undefined ? `${path} does not exist yet.` : `${path}:\n${text}`;
  });
  const places = rule.spots(tree, job).map(({ path, key }) => `${path}: ${key}`);
  const prompt = [`Task: ${rule.title(job)}`, rule.brief, ...places, ...files].join("\n\n");
  const { object } = await models.object(
    agent,
    { system: SYSTEM, prompt, schema: Answer, temperature: 0 },
    { agent, signal },
  );
  return new Map(object.files.map(({ path, text }) => [path, text]));
}

/** It does what was asked, within the project, and breaks nothing that works. */
async function isGood(
  job: Job,
  tree: Tree,
  changes: Changes,
  signal: AbortSignal,
): Promise<boolean> {
  if (![...changes.keys()].every((path) => PATH.test(path))) return false;
  const next = changed(tree, changes);
  for (const text of changes.values()) if (text !== null) parse(text);
  if (ruleOf(job).spots(next, job).length > 0) return false;
  const { failures } = await inFolder(next, (folder) => runTests(folder, signal));
  if (failures.length === 0) return true;
  const before = await inFolder(tree, (folder) => runTests(folder, signal));
  return failures.every((name) => before.failures.includes(name));
}
