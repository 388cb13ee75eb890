import type { Models } from "@plexus/llm";
import * as z from "zod";
import { isModelsFault } from "./model-author.ts";

const SYSTEM =
  "You review commits of a small TypeScript project. Answer with one short sentence about this one: what is good about it, " +
  "or what you would look at again.";

const Answer = z.object({ note: z.string().min(1).max(300) });

/** What a model has to say about a commit; undefined if it says nothing. What has to follow is decided by the rules alone. */
export async function modelNote(
  models: Models,
  { title, files }: { title: string; files: readonly (readonly [string, string])[] },
  signal: AbortSignal,
): Promise<string | undefined> {
  const prompt = [`Commit: ${title}`, ...files.map(([path, text]) => `${path}:\n${text}`)].join(
    "\n\n",
  );
  try {
    const ask = { system: SYSTEM, prompt, schema: Answer, temperature: 0 };
    return (await models.object("reviewer", ask, { agent: "reviewer", signal })).object.note;
  } catch (error) {
    signal.throwIfAborted();
    if (isModelsFault(error)) return undefined;
    throw error;
  }
}
