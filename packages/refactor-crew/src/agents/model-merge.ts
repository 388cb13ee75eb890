import type { Models } from "@plexus/llm";
import type { SemanticMerge } from "@plexus/mesh";
import * as z from "zod";
import { inFolder } from "../folder.ts";
import { runTests } from "../run-tests.ts";
import { parse } from "../syntax.ts";

const SYSTEM =
  "Two agents have changed the same lines of one file. Answer with the complete file that keeps what both want. You get the " +
  "file as both found it, as ours has it, as theirs has it, and what each of them was about.";

const Answer = z.object({ text: z.string() });

export interface MergeOptions {
  readonly models: Models;
  readonly agent: string;
  /** What ours is about. */
  readonly title: string;
  readonly signal: AbortSignal;
}

/**
 * Has a model merge what cannot be merged line by line. It may if what both sides have brought in is there, what either has removed is
 * not, and the project's tests pass.
 */
export function modelMerge({ models, agent, title, signal }: MergeOptions): SemanticMerge {
  return {
    async merge({ path, base = "", ours = "", theirs = "", clash }) {
      const [rival] = clash.theirs.commits;
      const prompt = [
        `File: ${path}`,
        `Ours is about: ${title}`,
        `Theirs is about: ${rival?.message ?? "something else"}`,
        `As both found it:\n${base}`,
        `Ours:\n${ours}`,
        `Theirs:\n${theirs}`,
      ].join("\n\n");
      const ask = { system: SYSTEM, prompt, schema: Answer, temperature: 0 };
      const { text } = (await models.object(agent, ask, { agent, signal })).object;
      parse(text);
      if (!keeps(text, base, ours) || !keeps(text, base, theirs)) {
        throw new Error(`The merge of ${path} drops what one of both wanted`);
      }
      return text;
    },
    async check(tree) {
      const files = await tree.list();
      const texts = files.map(async ({ path }) => [path, (await tree.read(path)).text] as const);
      const merged = new Map(await Promise.all(texts));
      const { failed } = await inFolder(merged, (folder) => runTests(folder, signal));
      return failed === 0;
    },
  };
}

/** Whether every word that a side has added is there, and none that it has removed. */
export function keeps(merged: string, base: string, side: string): boolean {
  const [now, before, after] = [merged, base, side].map(wordsOf) as [Words, Words, Words];
  const isThere = [...after].every((word) => before.has(word) || now.has(word));
  return isThere && [...before].every((word) => after.has(word) || !now.has(word));
}

type Words = ReadonlySet<string>;

function wordsOf(text: string): Words {
  return new Set(text.match(/\w+|[^\s\w]+/g));
}
