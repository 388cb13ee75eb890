import type { SemanticMerge } from "@plexus/mesh";
import { expect, test } from "vitest";
import { useMeshes } from "../../../test/support/mesh.ts";
import type { News } from "./action.ts";
import { type Draft, StartsOver, type Update } from "./workplace.ts";
import { WorkspacePlace } from "./workspace-place.ts";

const meshes = useMeshes();

/** Agents at places of their own, in a workspace with one file. */
async function places(names: readonly string[], merger?: (title: string) => SemanticMerge) {
  const host = await meshes.join();
  await host.hostWorkspaces();
  const found = await Promise.all(
    names.map(async (name) => new WorkspacePlace(await meshes.join(), name, merger)),
  );
  await found[0]!.attempt(about("founder"), async (draft) => draft.write("src/a.ts", "one\ntwo\n"));
  return found;
}

function about(id: string, vote = false) {
  return { id, agent: "", title: `title of ${id}`, vote };
}

/** Keeps theirs, and says below what ours was about. */
function appending(title: string): SemanticMerge {
  return {
    merge: ({ theirs }) => `${theirs}// and ${title}\n`,
    check: async (tree) => (await tree.read("src/a.ts")).text.includes("ONE"),
  };
}

/** Puts lines in place of others, once `others` have done theirs. */
function edit(from: string, to: string, others?: () => Promise<unknown>) {
  return async (draft: Draft): Promise<void> => {
    const text = await draft.read("src/a.ts");
    await others?.();
    draft.write("src/a.ts", text!.replace(from, to));
  };
}

test("a commit is found in the history under the id of its job, with its agent, whatever became of earlier attempts", async () => {
  const [ada, bob] = await places(["ada", "bob"]);
  const meanwhile = () => ada!.attempt(about("ada/1"), edit("one", "ONE"));
  const first = await bob!.attempt(about("bob/1"), edit("one", "uno", meanwhile));
  expect(first).toMatchObject({
    landed: false,
    clash: {
      strategy: "merge",
      files: [
        {
          path: "src/a.ts",
          type: "write/write",
          base: 1,
          winner: "theirs",
          theirs: [{ by: "ada", version: 2, title: "title of ada/1" }],
        },
      ],
    },
  });
  const second = await bob!.attempt(about("bob/1"), edit("ONE", "uno"));
  expect(second).toMatchObject({ landed: true, version: 3, clash: undefined });
  expect(await ada!.history.commits()).toMatchObject([
    { version: 1, agent: "ada", id: "founder" },
    { version: 2, agent: "ada", id: "ada/1", title: "title of ada/1", paths: ["src/a.ts"] },
    { version: 3, agent: "bob", id: "bob/1" },
  ]);
  expect((await ada!.history.tree(2)).get("src/a.ts")).toBe("ONE\ntwo\n");
});

test("what was only read counts: a commit made from what has changed since is refused", async () => {
  const [ada, tester] = await places(["ada", "tester"]);
  const landing = await tester!.attempt(about("tester/1"), async (draft) => {
    const text = await draft.read("src/a.ts");
    await ada!.attempt(about("ada/1"), edit("one", "ONE"));
    draft.write("test/a.test.ts", `expects ${text}`);
  });
  expect(landing).toMatchObject({ landed: false, clash: { files: [{ type: "read/write" }] } });
});

test("who works on a draft is told of changes by others, and may begin anew", async () => {
  const [ada, bob] = await places(["ada", "bob"]);
  const landing = await bob!.attempt(about("bob/1"), async (draft) => {
    await draft.read("src/a.ts");
    const told = new Promise<Update>((resolve) => draft.onUpdate(resolve));
    await ada!.attempt(about("ada/1"), edit("one", "ONE"));
    expect(await told).toMatchObject({ path: "src/a.ts", by: "ada", version: 2 });
    throw new StartsOver();
  });
  expect(landing).toMatchObject({ landed: false, clash: undefined });
});

test.each([
  ["ours", true, "uno\ntwo\n"],
  ["theirs", false, "ONE\ntwo\n"],
] as const)(
  "where two changes meet the others vote, and %s can win",
  async (prefers, landed, text) => {
    const [ada, bob, ...judges] = await places(["ada", "bob", "c", "d", "e"]);
    const asked: string[] = [];
    await using stack = new AsyncDisposableStack();
    for (const judge of judges) {
      const judging = judge.judge(async ({ ours, clash }) => {
        asked.push(`${ours.by}: ${clash.files[0]!.theirs[0]!.title}`);
        return prefers;
      });
      stack.use(await judging);
    }
    const meanwhile = () => ada!.attempt(about("ada/1"), edit("one", "ONE"));
    const landing = await bob!.attempt(about("bob/1", true), edit("one", "uno", meanwhile));
    expect(landing).toMatchObject({
      landed,
      clash: { strategy: "vote", files: [{ winner: prefers }] },
    });
    expect(asked).toEqual(Array.from({ length: 3 }, () => "bob: title of ada/1"));
    expect((await ada!.snapshot()).tree.get("src/a.ts")).toBe(text);
  },
);

test("what cannot be merged line by line is merged by meaning, if somebody can", async () => {
  const [ada, bob] = await places(["ada", "bob"], appending);
  const meanwhile = () => ada!.attempt(about("ada/1"), edit("one", "ONE"));
  const landing = await bob!.attempt(about("bob/1"), edit("one", "uno", meanwhile));
  expect(landing).toMatchObject({ landed: true, clash: { strategy: "semantic" } });
  const { tree } = await ada!.snapshot();
  expect(tree.get("src/a.ts")).toBe("ONE\ntwo\n// and title of bob/1\n");
});

test("what is told once is heard once, from the beginning, by whoever comes later", async () => {
  const [ada] = await places(["ada"]);
  const news: News = { kind: "dropped", job: "ada/1", title: "a", why: "nothing left to do" };
  await ada!.tell(news);
  await ada!.tell(news);
  await ada!.tell({ kind: "finished" });
  const stop = new AbortController();
  const heard: string[] = [];
  for await (const { kind, agent } of ada!.actions(stop.signal)) {
    heard.push(`${agent} ${kind}`);
    if (kind === "finished") stop.abort();
  }
  expect(heard).toEqual(["ada dropped", "ada finished"]);
});
