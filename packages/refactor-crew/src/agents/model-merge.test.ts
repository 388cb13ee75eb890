import { openModels } from "@plexus/llm";
import { startModelServer } from "@plexus/testing";
import { expect, test } from "vitest";
import { keeps, modelMerge } from "./model-merge.ts";

const base = "export const a = 1;\nexport const b = 2;\n";
const ours = "export const first = 1;\nexport const b = 2;\n";
const theirs = "export const a = 1;\nexport const second = 2;\n";
const both = "export const first = 1;\nexport const second = 2;\n";
const input = { path: "src/a.ts", base, ours, theirs, clash: { theirs: { commits: [] } } };

test("a merge keeps a side when what it added is there and what it removed is not", () => {
  expect([keeps(both, base, ours), keeps(both, base, theirs)]).toEqual([true, true]);
  expect([keeps(ours, base, ours), keeps(ours, base, theirs)]).toEqual([true, false]);
  expect(keeps("const first = 1; const a = 1;", base, ours)).toBe(false);
});

test("a model's merge is taken if it keeps both sides, and refused if it drops one or is no TypeScript", async () => {
  await using server = await startModelServer();
  const deployments = [{ model: "stub-model", baseUrl: server.url, apiKey: "stub" }];
  await using models = await openModels({ groups: { default: { deployments } } });
  const { signal } = new AbortController();
  const { merge } = modelMerge({ models, agent: "generator-1", title: "rename a", signal });
  const asked = (text: string) => {
    server.always({ kind: "reply", json: { text } });
    // Each prompt is another one, so that no answer comes from the cache.
    return merge({ ...input, path: `src/${text.length}.ts` } as unknown as Parameters<
      typeof merge
    >[0]);
  };
  expect(await asked(both)).toBe(both);
  await expect(asked(ours)).rejects.toThrow("drops what one of both wanted");
  await expect(asked("export const = first second")).rejects.toThrow(SyntaxError);
});
