import { expect, test } from "vitest";
import { gate, upTo, useMeshes } from "../../../test/support/mesh.ts";
import { clashesIn, openWorkspace, refused } from "../../../test/support/workspace.ts";

const meshes = useMeshes();

test("what one agent writes, another reads, with its version", async () => {
  const [ada, bob] = await openWorkspace(meshes, "ada", "bob");
  const first = await ada.write("src/a.ts", "one\n");
  expect(first).toMatchObject({ version: 1, conflicts: [] });
  expect(await bob.read("src/a.ts")).toMatchObject({ text: "one\n", version: 1, size: 4 });
  await bob.write("src/a.ts", "two\n");
  expect(await ada.read("src/a.ts")).toMatchObject({ text: "two\n", version: 2 });
  expect((await ada.list()).map(({ path }) => path)).toEqual(["src/a.ts"]);
  await ada.remove("src/a.ts");
  expect(await bob.find("src/a.ts")).toBeUndefined();
  await expect(bob.read("src/a.ts")).rejects.toMatchObject({ code: "NO_FILE" });
  expect(await (await bob.at(2)).read("src/a.ts")).toMatchObject({ text: "two\n", version: 2 });
  expect(await bob.head()).toBe(3);
});

test("a file that somebody else has changed is not overwritten, and the refusal says by whom, from what, to what", async () => {
  const [ada, bob] = await openWorkspace(meshes, "ada", "bob");
  await ada.write("a.ts", "one\n");
  await bob.read("a.ts");
  await ada.write("a.ts", "two\n", { message: "count on" });
  const error = await refused(bob.write("a.ts", "three\n"));
  expect(clashesIn(error)).toEqual([
    expect.objectContaining({
      path: "a.ts",
      kind: "write/write",
      base: expect.objectContaining({ version: 1, size: 4 }),
      theirs: expect.objectContaining({
        version: 2,
        commits: [expect.objectContaining({ version: 2, by: "ada", message: "count on" })],
      }),
      ours: expect.objectContaining({ size: 6 }),
    }),
  ]);
  expect(clashesIn(error)[0]!.diff).toContain("-one\n+two\n");
  expect((await ada.read("a.ts")).text).toBe("two\n");
});

test("tests that were written against a version that is gone are refused: write skew across files", async () => {
  const [ada, cleo] = await openWorkspace(meshes, "ada", "cleo");
  await ada.write("cart.ts", "export const total = 1;\n");
  const [read, changed] = [gate(), gate()];
  const testing = cleo.transact({ message: "test the cart" }, async (context) => {
    const { text } = await context.read("cart.ts");
    read.open();
    await changed.opened;
    context.write("cart.test.ts", `// of ${text}`);
  });
  await read.opened;
  await ada.write("cart.ts", "export const sum = 1;\n");
  changed.open();
  const error = await refused(testing);
  expect(clashesIn(error)).toMatchObject([{ path: "cart.ts", kind: "read/write" }]);
  expect(await cleo.find("cart.test.ts")).toBeUndefined();
});

test("a transaction that is told to runs again on what it was refused for", async () => {
  const [ada] = await openWorkspace(meshes, "ada");
  await ada.write("count", "0");
  await Promise.all(
    upTo(8).map(() =>
      ada.transact({ attempts: 30, retry: true }, async (context) => {
        const { text } = await context.read("count");
        context.write("count", String(Number(text) + 1));
      }),
    ),
  );
  expect((await ada.read("count")).text).toBe("8");
  expect(await ada.head()).toBe(9);
});

test("a transaction reads one version throughout, and commits all of its files or none", async () => {
  const [ada, bob] = await openWorkspace(meshes, "ada", "bob");
  await ada.transact({}, (context) => {
    context.write("a", "a1");
    context.write("b", "b1");
  });
  const seen = await bob.transact({}, async (context) => {
    const a = await context.read("a");
    await ada.transact({}, (other) => {
      other.write("a", "a2");
      other.write("b", "b2");
    });
    const b = await context.read("b");
    return [a.text, b.text];
  });
  expect(seen.value).toEqual(["a1", "b1"]);
  const error = await refused(
    bob.transact({}, async (context) => {
      await context.read("a");
      await ada.write("b", "b3");
      context.write("a", "a3");
      context.write("b", "other");
    }),
  );
  expect(clashesIn(error).map(({ path }) => path)).toEqual(["b"]);
  expect((await ada.read("a")).text).toBe("a2");
});

test("changes of different lines are merged, those of one line are not", async () => {
  const [ada, bob] = await openWorkspace(meshes, "ada", "bob");
  await ada.setStrategies({ "*.md": "reject", "**": "merge" });
  await ada.write("a.ts", "1\n2\n3\n4\n5\n");
  await bob.read("a.ts");
  await ada.write("a.ts", "one\n2\n3\n4\n5\n");
  const merged = await bob.write("a.ts", "1\n2\n3\n4\nfive\n");
  expect(merged.conflicts).toMatchObject([
    { resolved: { outcome: "committed", decisions: [{ strategy: "merge", winner: "merged" }] } },
  ]);
  expect((await ada.read("a.ts")).text).toBe("one\n2\n3\n4\nfive\n");
  await bob.read("a.ts");
  await ada.write("a.ts", "uno\n2\n3\n4\nfive\n");
  await refused(bob.write("a.ts", "eins\n2\n3\n4\nfive\n"));
  expect((await ada.read("a.ts")).text).toBe("uno\n2\n3\n4\nfive\n");
});

test("the last writer wins where that is the rule, and the conflict can be explained afterwards", async () => {
  const [ada, bob] = await openWorkspace(meshes, "ada", "bob");
  await ada.write("log", "one");
  await bob.read("log");
  await ada.write("log", "two");
  const { conflicts } = await bob.write("log", "three", { resolve: "lastWriterWins" });
  expect((await ada.read("log")).text).toBe("three");
  const explained = await ada.conflict(conflicts[0]!.id);
  expect(explained).toMatchObject({
    by: "bob",
    clashes: [{ path: "log", base: { version: 1 }, theirs: { version: 2 } }],
    resolved: { by: "bob", version: 3, decisions: [{ winner: "ours" }] },
  });
});
