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

/** Has a model merge what cannot be merged line by line; the project's tests decide whether it may. */
export function modelMerge(models: Models, agent: string, signal: AbortSignal): SemanticMerge {
  return {
    async merge({ path, base, ours, theirs, clash }) {
      const [rival] = clash.theirs.commits;
      const prompt = [
        `File: ${path}`,
        `Theirs is about: ${rival?.message ?? "something else"}`,
        `As both found it:\n${base ?? "(it did not exist)"}`,
        `Ours:\n${ours ?? "(removed)"}`,
        `Theirs:\n${theirs ?? "(removed)"}`,
      ].join("\n\n");
      const ask = { system: SYSTEM, prompt, schema: Answer, temperature: 0 };
      const { object } = await models.object(agent, ask, { agent, signal });
      parse(object.text);
      return object.text;
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
