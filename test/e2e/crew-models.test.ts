import type { Action } from "@plexus/refactor-crew";
import { startModelServer, type StubBehaviour, type StubRequest } from "@plexus/testing";
import { expect, test } from "vitest";
import { crew } from "../support/crew.ts";

type Landed = Extract<Action, { kind: "landed" }>;

/** A stub that can do nothing but rename, by replacing words; whatever else it is asked, its answer is of no use. */
function renamer({ messages }: StubRequest): StubBehaviour {
  const [system, asked] = [messages[0]!.text, messages.at(-1)!.text];
  if (system.includes("review"))
    return { kind: "reply", json: { note: "[stub] Looks like a commit." } };
  const [, from, to] = /(?:Task|Ours is about): rename (\w+) to (\w+)/.exec(asked) ?? [];
  const renamed = (text: string): string =>
    from === undefined ? text : text.replaceAll(new RegExp(`\\b${from}\\b`, "g"), to!);
  if (system.includes("Two agents")) {
    const theirs = asked.slice(asked.indexOf("\nTheirs:\n") + "\nTheirs:\n".length);
    return { kind: "reply", json: { text: renamed(theirs) } };
  }
  const parts = asked.split(/^((?:src|test)\/[\w.-]+):\n/m).slice(1);
  const files = parts.flatMap((path, index) =>
    index % 2 === 0 ? [{ path, text: renamed(parts[index + 1]!.trimEnd() + "\n") }] : [],
  );
  return { kind: "reply", json: { files } };
}

test("with a model its changes are taken if they do the job and the tests pass, and rules do the rest: nothing is lost", async () => {
  await using model = await startModelServer();
  model.always(renamer);
  const { code, stderr, result, actions } = await crew(
    ["--seconds", "2", "--seed", "2", "--jobs", "9"],
    {
      PLEXUS_LLM_BASE_URL: model.url,
      PLEXUS_LLM_MODEL: "stub-model",
    },
  );
  expect({ code, stderr: code === 0 ? "" : stderr }).toEqual({ code: 0, stderr: "" });
  expect(result).toMatchObject({ kept: true, lostEdits: 0, tests: { failed: 0 } });
  const landed = actions.filter((one): one is Landed => one.kind === "landed");
  const renames = landed.filter(({ title }) => title.startsWith("rename "));
  expect(renames.some(({ by }) => by === "model")).toBe(true);
  const others = landed.filter(({ title }) => !title.startsWith("rename "));
  expect(new Set(others.map(({ by }) => by))).toEqual(new Set(["rules instead of the model"]));
  expect(actions.some((one) => one.kind === "reviewed" && one.note?.startsWith("[stub]"))).toBe(
    true,
  );
  expect(stderr).toContain(`model stub-model at ${model.url}`);
}, 240_000);

test("a model that never answers costs time only", async () => {
  const { code, result, actions } = await crew(["--seconds", "1", "--jobs", "3"], {
    PLEXUS_LLM_BASE_URL: "http://127.0.0.1:1/v1",
    PLEXUS_LLM_MODEL: "nobody",
  });
  expect({ code, ...result }).toMatchObject({ code: 0, kept: true, lostEdits: 0 });
  expect(actions.some((one) => one.kind === "landed" && one.by === "model")).toBe(false);
}, 240_000);
