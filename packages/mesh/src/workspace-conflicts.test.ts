import { expect, test } from "vitest";
import { gate, useMeshes } from "../../../test/support/mesh.ts";
import { openWorkspace, refused } from "../../../test/support/workspace.ts";
import type { Workspace, WorkspaceConflict } from "./index.ts";

const meshes = useMeshes();

/** Two versions of `plan.md` that know nothing of each other: what ada has committed, and what bob is about to. */
async function disagree(ada: Workspace, bob: Workspace): Promise<void> {
  await ada.write("plan.md", "base\n");
  await bob.read("plan.md");
  await ada.write("plan.md", "ada's\n", { message: "ada's plan" });
}

/** A commit that waits, and the conflict that it waits for. */
async function waiting(
  bob: Workspace,
  options: Parameters<Workspace["write"]>[2],
): Promise<{ conflict: WorkspaceConflict; result: ReturnType<Workspace["write"]> }> {
  const found = Promise.withResolvers<WorkspaceConflict>();
  const result = bob.write("plan.md", "bob's\n", { ...options, onConflict: found.resolve });
  result.catch(() => undefined);
  return { conflict: await found.promise, result };
}

test("a person decides, and the commit that waited is made", async () => {
  const [ada, bob] = await openWorkspace(meshes, "ada", "bob");
  await disagree(ada, bob);
  const { conflict, result } = await waiting(bob, { resolve: "escalate", message: "bob's plan" });
  expect(await ada.conflicts()).toMatchObject([
    { id: conflict.id, by: "bob", message: "bob's plan" },
  ]);
  expect((await ada.read("plan.md")).text).toBe("ada's\n");
  expect(await ada.resolve(await ada.conflict(conflict.id), "ours")).toBe("committed");
  expect(await result).toMatchObject({ version: 3, conflicts: [{ resolved: { by: "ada" } }] });
  expect((await ada.read("plan.md")).text).toBe("bob's\n");
  expect(await ada.conflicts()).toEqual([]);
});

test("a person decides for the other side, and the commit that waited is told so", async () => {
  const [ada, bob] = await openWorkspace(meshes, "ada", "bob");
  await disagree(ada, bob);
  const { conflict, result } = await waiting(bob, { resolve: "escalate" });
  expect(await ada.resolve(conflict, "theirs")).toBe("rejected");
  await refused(result);
  expect(await ada.head()).toBe(2);
  expect(await ada.conflict(conflict.id)).toMatchObject({ resolved: { outcome: "rejected" } });
});

test("a decision about what has changed since stays open, with what has come", async () => {
  const [ada, bob] = await openWorkspace(meshes, "ada", "bob");
  await disagree(ada, bob);
  const { conflict, result } = await waiting(bob, { resolve: "escalate" });
  await ada.write("plan.md", "newer\n");
  expect(await ada.resolve(conflict, "ours")).toBe("open");
  const again = await ada.conflict(conflict.id);
  expect(again.clashes).toMatchObject([{ base: { version: 1 }, theirs: { version: 3 } }]);
  expect(await ada.resolve(conflict, "ours")).toBe("open"); // still the old one
  expect(await ada.resolve(again, { files: { "plan.md": "both\n" } })).toBe("committed");
  expect(await result).toMatchObject({ version: 4 });
  expect((await ada.read("plan.md")).text).toBe("both\n");
});

test("who gives up waiting leaves the conflict open, and whoever knows its id can wait for it", async () => {
  const [ada, bob] = await openWorkspace(meshes, "ada", "bob");
  await disagree(ada, bob);
  const gone = new AbortController();
  const { conflict, result } = await waiting(bob, { resolve: "escalate", signal: gone.signal });
  gone.abort();
  await expect(result).rejects.toMatchObject({
    code: "CANCELED",
    details: { conflict: conflict.id },
  });
  const later = (await meshes.join()).workspace("shop", { agent: "bob" }).settled(conflict.id);
  await ada.resolve(conflict, "ours");
  expect(await later).toMatchObject({ commit: conflict.commit, version: 3 });
  await expect(ada.settled("c0")).rejects.toMatchObject({ code: "NO_FILE" });
});

test("a function merges by meaning, and what its check refuses is not committed", async () => {
  const [ada, bob] = await openWorkspace(meshes, "ada", "bob");
  await disagree(ada, bob);
  const merged = await bob.write("plan.md", "bob's\n", {
    resolve: {
      strategy: "semantic",
      merge: ({ base, ours, theirs, clash }) =>
        `${base}${theirs}${ours}${clash.theirs.commits[0]?.message}\n`,
      check: async (tree) => (await tree.read("plan.md")).text.includes("bob's"),
    },
  });
  expect(merged.conflicts).toMatchObject([{ resolved: { by: "semantic" } }]);
  expect((await ada.read("plan.md")).text).toBe("base\nada's\nbob's\nada's plan\n");
  await bob.read("plan.md");
  await ada.write("plan.md", "again\n");
  await refused(
    bob.write("plan.md", "mine\n", {
      resolve: { strategy: "semantic", merge: () => "nonsense", check: () => false },
    }),
  );
  expect((await ada.read("plan.md")).text).toBe("again\n");
});

test("a merge by meaning is made anew when somebody commits meanwhile", async () => {
  const [ada, bob] = await openWorkspace(meshes, "ada", "bob");
  await disagree(ada, bob);
  let merges = 0;
  const { version } = await bob.write("plan.md", "bob's\n", {
    resolve: {
      strategy: "semantic",
      merge: async ({ ours, theirs }) => {
        if (merges++ === 0) await ada.write("plan.md", "newer\n");
        return `${theirs}${ours}`;
      },
    },
  });
  expect([merges, version]).toEqual([2, 4]);
  expect((await ada.read("plan.md")).text).toBe("newer\nbob's\n");
});

test("a merge by meaning that fails goes by what is said for that", async () => {
  const [ada, bob] = await openWorkspace(meshes, "ada", "bob");
  await ada.write("list", "1\n2\n3\n4\n5\n");
  await bob.read("list");
  await ada.write("list", "one\n2\n3\n4\n5\n");
  const broken = { strategy: "semantic", merge: () => Promise.reject(new Error("no")) } as const;
  const other = "1\n2\n3\n4\nfive\n";
  await refused(bob.write("list", other, { resolve: broken }));
  await bob.write("list", other, { base: 1, resolve: { ...broken, otherwise: "merge" } });
  expect((await ada.read("list")).text).toBe("one\n2\n3\n4\nfive\n");
  await bob.write("list", "bob's", {
    base: 1,
    resolve: { ...broken, otherwise: "lastWriterWins" },
  });
  expect((await ada.read("list")).text).toBe("bob's");
});

test("agents vote, and the first among their candidates is committed", async () => {
  const [ada, bob, cleo, dan, eve] = await openWorkspace(
    meshes,
    "ada",
    "bob",
    "cleo",
    "dan",
    "eve",
  );
  await disagree(ada, bob);
  const judges = await Promise.all([
    cleo.judge(() => ["ours", "theirs"]),
    dan.judge(() => ["theirs", "ours"]),
    eve.judge(({ clashes }) => (clashes[0]!.path === "plan.md" ? ["ours"] : undefined)),
  ]);
  const { conflicts } = await bob.write("plan.md", "bob's\n", {
    resolve: { strategy: "vote", voters: 3 },
  });
  expect(conflicts[0]!.resolved).toMatchObject({ by: "vote", decisions: [{ winner: "ours" }] });
  expect(conflicts[0]!.resolved!.ballots).toHaveLength(3);
  expect((await ada.read("plan.md")).text).toBe("bob's\n");
  await Promise.all(judges.map((judge) => judge.close()));
});

test("a ballot, and a merge, about what has changed since do not count", async () => {
  const [ada, bob, cleo] = await openWorkspace(meshes, "ada", "bob", "cleo");
  await disagree(ada, bob);
  const { conflict, result } = await waiting(bob, { resolve: { strategy: "vote", voters: 2 } });
  expect(await cleo.vote(conflict, ["ours"])).toBe("open");
  await ada.write("plan.md", "newer\n");
  expect(await ada.vote(conflict, ["ours"])).toBe("open"); // it is found anew, and the ballots with it
  const again = await ada.conflict(conflict.id);
  expect(again.clashes).toMatchObject([{ theirs: { version: 3 } }]);
  expect(await ada.vote(conflict, ["ours"])).toBe("open");
  expect(await cleo.vote(conflict, ["ours"])).toBe("open");
  expect(await ada.resolve(conflict, { files: { "plan.md": "of the old one\n" } })).toBe("open");
  expect(await ada.vote(again, ["ours"])).toBe("open");
  expect(await cleo.vote(again, ["ours"])).toBe("committed");
  expect(await result).toMatchObject({ version: 4 });
});

test("a vote that too few take part in is decided by those who do, and without any by what is said for it", async () => {
  const [ada, bob, cleo] = await openWorkspace(meshes, "ada", "bob", "cleo");
  await disagree(ada, bob);
  await refused(
    bob.write("plan.md", "bob's\n", { resolve: { strategy: "vote", voters: 2, timeout: 100 } }),
  );
  const judge = await cleo.judge(() => ["ours"]);
  const { version } = await bob.write("plan.md", "bob's\n", {
    base: 1,
    resolve: { strategy: "vote", voters: 9, timeout: "2s", method: "rankedChoice" },
  });
  expect(version).toBe(3);
  await judge.close();
});

test("a decision about several files needs all of them, and commits the rest with them", async () => {
  const [ada, bob] = await openWorkspace(meshes, "ada", "bob");
  await ada.transact({}, (context) => {
    context.write("a", "1");
    context.write("b", "1");
  });
  const [read, changed] = [gate(), gate()];
  const found = Promise.withResolvers<WorkspaceConflict>();
  const result = bob.transact(
    { resolve: "escalate", onConflict: found.resolve },
    async (context) => {
      await context.read("a");
      read.open();
      await changed.opened;
      context.write("a", "bob");
      context.write("b", "bob");
      context.write("c", "bob");
    },
  );
  await read.opened;
  await ada.transact({}, (context) => {
    context.write("a", "ada");
    context.write("b", "ada");
  });
  changed.open();
  const conflict = await found.promise;
  await expect(ada.resolve(conflict, { files: { a: "both" } })).rejects.toMatchObject({
    code: "INVALID_INPUT",
  });
  expect(await ada.resolve(conflict, { files: { a: "both", b: "both" } })).toBe("committed");
  await result;
  const texts = await Promise.all(["a", "b", "c"].map(async (path) => (await ada.read(path)).text));
  expect(texts).toEqual(["both", "both", "bob"]);
});
