import { expect, test } from "vitest";
import { fired, gate, inTurn, upTo, useMeshes } from "../../../test/support/mesh.ts";
import { clashesIn, openWorkspace, refused } from "../../../test/support/workspace.ts";
import type { StoredCommit, WorkspaceUpdate } from "./index.ts";

const meshes = useMeshes();

test("a transaction is told of commits that touch what it reads or writes, with the diff, and of no others", async () => {
  const [ada, bob] = await openWorkspace(meshes, "ada", "bob");
  await ada.write("a", "1\n");
  const error = await refused(
    bob.transact({}, async (context) => {
      await context.read("a");
      const { updates } = context;
      await ada.write("other", "nobody cares\n");
      await ada.write("a", "2\n", { message: "count" });
      for await (const { version, commit, changes } of updates) {
        expect({ version, by: commit.by, message: commit.message }).toEqual({
          version: 3,
          by: "ada",
          message: "count",
        });
        expect(changes).toMatchObject([{ path: "a", role: "read", removed: false }]);
        expect(changes[0]!.diff).toContain("-1\n+2\n");
        break;
      }
      context.write("b", "of 1\n"); // it goes on: the commit is checked all the same
    }),
  );
  expect(clashesIn(error)).toMatchObject([{ path: "a", kind: "read/write" }]);
});

test("a transaction that adapts to what it was told of is committed", async () => {
  const [ada, bob] = await openWorkspace(meshes, "ada", "bob");
  await ada.write("a", "1");
  const told = gate();
  const { version } = await bob.transact({}, async (context) => {
    const before = await context.read("a");
    context.onUpdate(() => told.open());
    await ada.write("a", "2");
    await told.opened;
    const now = await context.adapt("a");
    expect([before.text, now?.text, (await context.read("a")).text]).toEqual(["1", "2", "2"]);
    context.write("b", `of ${now?.text}`);
  });
  expect(version).toBe(3);
  expect((await ada.read("b")).text).toBe("of 2");
});

test("a transaction that restarts reads the newest version, and its first run writes nothing any more", async () => {
  const [ada, bob] = await openWorkspace(meshes, "ada", "bob");
  await ada.write("a", "1");
  const runs: string[] = [];
  const lost = Promise.withResolvers<() => void>();
  await bob.transact({}, async (context) => {
    const { text } = await context.read("a");
    runs.push(text);
    if (context.attempt === 1) {
      context.onUpdate(() => context.restart());
      await ada.write("a", "2");
      await fired(context.signal);
      lost.resolve(() => context.write("b", "lost"));
    }
    context.write("b", `of ${text}`);
  });
  expect(await lost.promise).toThrow("begins anew");
  expect(runs).toEqual(["1", "2"]);
  expect((await ada.read("b")).text).toBe("of 2");
});

test("an update of a path that comes to matter later is told when it does", async () => {
  const [ada, bob] = await openWorkspace(meshes, "ada", "bob");
  await ada.write("a", "1");
  const updates: WorkspaceUpdate[] = [];
  await refused(
    bob.transact({}, async (context) => {
      context.onUpdate((update) => updates.push(update));
      await ada.write("a", "2");
      await ada.write("signal", "");
      context.write("signal", "");
      await expect.poll(() => updates.length, { timeout: 15_000 }).toBe(1);
      context.write("a", "3");
      await expect.poll(() => updates.length, { timeout: 15_000 }).toBe(2);
    }),
  );
  expect(updates.map(({ version }) => version)).toEqual([3, 2]);
}, 60_000);

test("who watches gets every commit once and in order, from any version on, over a restart of the broker", async () => {
  const [ada, bob] = await openWorkspace(meshes, "ada", "bob");
  const write = (n: number) => ada.write(`file ${n}`, "");
  await inTurn(upTo(5), write);
  const all: number[] = [];
  const some: number[] = [];
  const fresh: StoredCommit[] = [];
  const watching = await Promise.all([
    bob.watch(({ version }) => all.push(version), { from: 1 }),
    bob.watch(({ version }) => some.push(version), { from: 4 }),
    bob.watch((commit) => fresh.push(commit)),
  ]);
  await write(5);
  await expect.poll(() => all, { timeout: 15_000 }).toEqual([1, 2, 3, 4, 5, 6]);
  await meshes.broker.restart();
  await inTurn([6, 7], write);
  await expect.poll(() => all, { timeout: 15_000 }).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  await expect.poll(() => some, { timeout: 15_000 }).toEqual([4, 5, 6, 7, 8]);
  await expect.poll(() => fresh.length, { timeout: 15_000 }).toBe(3);
  expect(fresh[0]).toMatchObject({ version: 6, by: "ada", changes: [{ path: "file 5" }] });
  await Promise.all(watching.map((one) => one.close()));
}, 90_000);
