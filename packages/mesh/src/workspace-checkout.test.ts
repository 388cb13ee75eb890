import { execFileSync } from "node:child_process";
import {
  mkdir,
  mkdtemp,
  readFile,
  readdir,
  rename,
  rm,
  symlink,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { upTo, useMeshes } from "../../../test/support/mesh.ts";
import { openWorkspace, refused } from "../../../test/support/workspace.ts";
import { checkoutTree, exportToGit, importTree, type Workspace } from "./index.ts";

const meshes = useMeshes();
let folder = "";

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "plexus-workspace-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const here = (path: string): string => join(folder, path);
const textOf = (path: string): Promise<string> => readFile(here(path), "utf8");
const git = (...args: string[]): string =>
  execFileSync("git", args, { cwd: folder, encoding: "utf8" }).trim();

/** Two versions of a text, and a binary file. */
async function begin(): Promise<Workspace> {
  const [ada, bob] = await openWorkspace(meshes, "ada", "bob");
  await ada.transact({ message: "begin the cart" }, (context) => {
    context.write("src/cart.ts", "one\ntwo\n");
    context.write("logo.png", new Uint8Array([0, 255, 1, 254]));
  });
  await bob.read("src/cart.ts");
  await bob.write("src/cart.ts", "one\n2\n", { message: "count in figures" });
  return ada;
}

const checkout = async (ada: Workspace, version?: number, force = false) =>
  checkoutTree(ada.name, await ada.at(version), folder, { force });

test("a checkout writes what differs, overwrites nothing unasked, and removes only what it has written", async () => {
  const ada = await begin();
  expect(await checkout(ada, 1)).toMatchObject({
    version: 1,
    written: ["logo.png", "src/cart.ts"],
  });
  expect(await textOf("src/cart.ts")).toBe("one\ntwo\n");
  expect([...(await readFile(here("logo.png")))]).toEqual([0, 255, 1, 254]);
  await writeFile(here("src/notes.md"), "mine");
  await writeFile(here("src/cart.ts"), "changed\n");
  const error = await refused(checkout(ada));
  expect(error.details).toEqual({ paths: ["src/cart.ts"] });
  expect(await textOf("src/cart.ts")).toBe("changed\n");
  expect(await checkout(ada, 2, true)).toMatchObject({ written: ["src/cart.ts"], unchanged: 1 });
  expect(await textOf("src/cart.ts")).toBe("one\n2\n");
  await ada.remove("src/cart.ts", { base: 2 });
  await ada.remove("logo.png", { base: 2 });
  expect(await checkout(ada)).toMatchObject({ removed: ["logo.png", "src/cart.ts"] });
  expect((await readdir(folder)).toSorted()).toEqual([".plexus", "src"]);
  expect(await readdir(here("src"))).toEqual(["notes.md"]);
});

test("a file becomes a directory and back, and a file of somebody's own in its place is not lost", async () => {
  const [ada] = await openWorkspace(meshes, "ada");
  await ada.write("a", "file");
  await checkout(ada);
  await ada.transact({}, (context) => {
    context.remove("a");
    context.write("a/b", "in it");
  });
  await checkout(ada);
  expect(await textOf("a/b")).toBe("in it");
  await writeFile(here("a/own"), "mine");
  await ada.transact({}, (context) => {
    context.remove("a/b");
    context.write("a", "file again");
  });
  await refused(checkout(ada));
  await refused(checkout(ada, 3, true));
  expect(await textOf("a/own")).toBe("mine");
  await rm(here("a/own"));
  await checkout(ada);
  expect(await textOf("a")).toBe("file again");
  await ada.write("b/c", "");
  await writeFile(here("b"), "mine");
  await refused(checkout(ada));
  expect(await textOf("b")).toBe("mine");
  await checkout(ada, 4, true);
  expect(await textOf("b/c")).toBe("");
});

test("a checkout follows no symbolic link out of its directory", async () => {
  const ada = await begin();
  const outside = await mkdtemp(join(tmpdir(), "plexus-outside-"));
  try {
    await symlink(outside, here("src"));
    await expect(checkout(ada, 2, true)).rejects.toMatchObject({ code: "INVALID_INPUT" });
    expect(await readdir(outside)).toEqual([]);
    await rm(here("src"));
    await writeFile(join(outside, "cart.ts"), "theirs");
    await mkdir(here("src"));
    await symlink(join(outside, "cart.ts"), here("src/cart.ts"));
    await refused(checkout(ada));
    await checkout(ada, 2, true);
    expect(await readFile(join(outside, "cart.ts"), "utf8")).toBe("theirs");
    expect(await textOf("src/cart.ts")).toBe("one\n2\n");
    await rm(here(".plexus"), { recursive: true });
    await rename(here("src"), join(outside, "src")); // holds no link now
    await symlink(outside, here(".plexus"));
    const link = { code: "INVALID_INPUT" };
    await expect(checkout(ada, 2, true)).rejects.toMatchObject(link);
    await expect(importTree(ada, folder)).rejects.toMatchObject(link);
    expect((await readdir(outside)).toSorted()).toEqual(["cart.ts", "src"]);
  } finally {
    await rm(outside, { recursive: true });
  }
});

test("what was changed in a checkout is imported on the version it is of, so nothing newer is overwritten", async () => {
  const ada = await begin();
  await checkout(ada);
  await writeFile(here("src/cart.ts"), "one\n2\n3\n");
  await writeFile(here("new.md"), "new\n");
  await rm(here("logo.png"));
  await ada.write("elsewhere.ts", "");
  expect(await importTree(ada, folder)).toEqual({
    version: 4,
    commits: 1,
    written: ["new.md", "src/cart.ts"],
    removed: ["logo.png"],
  });
  expect(await importTree(ada, folder)).toMatchObject({ version: 4, commits: 0 });
  await ada.read("src/cart.ts");
  await ada.write("src/cart.ts", "ada's\n");
  await writeFile(here("src/cart.ts"), "by hand again\n");
  await refused(importTree(ada, folder));
  expect((await ada.read("src/cart.ts")).text).toBe("ada's\n");
});

test("a second import of a directory commits what has changed since the first, and overwrites nothing newer", async () => {
  const ada = await begin();
  await writeFile(here("logo.png"), new Uint8Array([0, 255, 1, 254])); // as it is there
  await writeFile(here("a"), "1");
  await writeFile(here("b"), "1");
  await writeFile(here("c"), "1");
  expect(await importTree(ada, folder)).toMatchObject({ version: 3, written: ["a", "b", "c"] });
  expect(await importTree(ada, folder)).toMatchObject({ version: 3, commits: 0 });
  await writeFile(here("a"), "2");
  await writeFile(here("logo.png"), "text");
  await rm(here("b"));
  expect(await importTree(ada, folder)).toMatchObject({
    version: 4,
    written: ["a", "logo.png"],
    removed: ["b"],
  });
  expect((await ada.list()).map(({ path }) => path)).toEqual(["a", "c", "logo.png", "src/cart.ts"]);
  await ada.write("c", "ada's", { base: 3 });
  expect(await importTree(ada, folder)).toMatchObject({ version: 5, commits: 0 });
  await writeFile(here("c"), "by hand");
  await refused(importTree(ada, folder));
  // They are the directory's own: a checkout neither overwrites nor removes them.
  await refused(checkout(ada));
  await rm(here("c"));
  await ada.remove("a", { base: 4 });
  await checkout(ada);
  expect(await textOf("a")).toBe("2");
});

test("what was imported into a workspace is imported into another one of its name", async () => {
  const [first] = await openWorkspace(meshes, "ada");
  await writeFile(here("a"), "1");
  await first.write("before", "");
  await importTree(first, folder);
  const elsewhere = await meshes.join({ mesh: `${meshes.name}-elsewhere` });
  await elsewhere.hostWorkspaces();
  const second = elsewhere.workspace(first.name);
  expect(await importTree(second, folder)).toMatchObject({ version: 1, written: ["a"] });
  expect(await importTree(first, folder)).toMatchObject({ version: 2, commits: 0 });
});

test("a directory in which nothing can be written down is imported all the same", async () => {
  const [ada] = await openWorkspace(meshes, "ada");
  await writeFile(here("a"), "1");
  await writeFile(here(".plexus"), "in the way");
  expect(await importTree(ada, folder)).toMatchObject({ version: 1, written: ["a"] });
});

test("many files are imported as several commits, and what is the same is left alone", async () => {
  const [ada] = await openWorkspace(meshes, "ada");
  await ada.write("file 7", "7");
  await Promise.all(upTo(1_200).map((n) => writeFile(here(`file ${n}`), String(n))));
  expect(await importTree(ada, folder)).toMatchObject({ commits: 2, version: 3 });
  expect(await ada.list()).toHaveLength(1_200);
  await ada.write("only there", "");
  expect(await importTree(ada, folder, { prune: true })).toMatchObject({ removed: ["only there"] });
}, 90_000);

test("a directory with links is not imported, and of a git work tree what git ignores is left out", async () => {
  const ada = await begin();
  await symlink("/etc/passwd", here("passwd"));
  await expect(importTree(ada, folder)).rejects.toMatchObject({ code: "INVALID_INPUT" });
  await rm(here("passwd"));
  git("init", "-q");
  await writeFile(here(".gitignore"), "ignored\n");
  await writeFile(here("ignored"), "");
  await writeFile(here("kept"), new Uint8Array([0, 1, 2]));
  expect(await importTree(ada, folder)).toMatchObject({ written: [".gitignore", "kept"] });
  expect([...(await ada.read("kept")).bytes]).toEqual([0, 1, 2]);
});

test("a git repository gets every commit with its agent as the author, and later those that are new", async () => {
  const ada = await begin();
  expect(await exportToGit(ada, folder)).toEqual({ version: 2, commits: 2, branch: "main" });
  expect(git("log", "--format=%an|%s")).toBe("bob|count in figures\nada|begin the cart");
  expect(git("status", "--porcelain")).toBe("");
  expect(await textOf("src/cart.ts")).toBe("one\n2\n");
  expect([...(await readFile(here("logo.png")))]).toEqual([0, 255, 1, 254]);
  await ada.remove("logo.png", { base: 2, message: 'no "logo"' });
  await ada.write('we"ird ü.md', "x");
  expect(await exportToGit(ada, folder)).toMatchObject({ version: 4, commits: 2 });
  expect((await readdir(folder)).toSorted()).toEqual([".git", "src", 'we"ird ü.md']);
  expect(git("fsck", "--strict")).toBe("");
  await writeFile(here("src/cart.ts"), "local work");
  await ada.write("src/cart.ts", "newer\n", { base: 2 });
  await refused(exportToGit(ada, folder));
  expect(await textOf("src/cart.ts")).toBe("local work");
  git("checkout", "-q", "--", "src/cart.ts");
  await exportToGit(ada, folder);
  expect(await textOf("src/cart.ts")).toBe("newer\n");
  // What is changed there is imported on the version that was exported.
  await writeFile(here("src/cart.ts"), "newer\nby hand\n");
  expect(await importTree(ada, folder)).toMatchObject({ version: 6, written: ["src/cart.ts"] });
});
