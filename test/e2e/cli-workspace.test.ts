import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, readFile, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Workspace, WorkspaceConflict } from "@plexus/mesh";
import { afterEach, beforeEach, expect, test } from "vitest";
import { plexus, startPlexus, type CliResult } from "../support/cli.ts";
import { useMeshes } from "../support/mesh.ts";
import { openWorkspace } from "../support/workspace.ts";

const meshes = useMeshes();
let folder = "";

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "plexus-workspace-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

function run(...args: string[]): Promise<CliResult> {
  const env = { PLEXUS_SERVERS: meshes.broker.url, PLEXUS_MESH: meshes.name, NO_COLOR: "1" };
  return plexus(["workspace", ...args], { env });
}

const git = (...args: string[]): string =>
  execFileSync("git", args, { cwd: folder, encoding: "utf8" }).trim();

/** Two versions of one file and another one, by two agents. */
async function begin(): Promise<{ ada: Workspace; bob: Workspace }> {
  const [ada, bob] = await openWorkspace(meshes, "ada", "bob");
  await ada.transact({ message: "begin the cart", intent: "a shop" }, (context) => {
    context.write("src/cart.ts", "one\ntwo\n");
    context.write("logo.png", new Uint8Array([0, 255, 1, 254]));
  });
  await bob.read("src/cart.ts");
  await bob.write("src/cart.ts", "one\n2\n", { message: "count in figures" });
  return { ada, bob };
}

test("ls, log, blame and diff tell what is there, by whom and since when", async () => {
  await begin();
  const [listed, log, blame, diff, json] = await Promise.all([
    run("ls", "shop"),
    run("log", "shop"),
    run("blame", "shop", "src/cart.ts"),
    run("diff", "shop", "1"),
    run("ls", "shop", "src/", "--at", "1", "--json"),
  ]);
  expect(listed.stdout).toMatch(/^logo\.png +4 +1 /m);
  expect(listed.stdout).toMatch(/^src\/cart\.ts +6 +2 /m);
  expect(log.stdout).toMatch(/^2 {2}bob .*count in figures\n +~ src\/cart\.ts/);
  expect(log.stdout).toMatch(/^1 {2}ada .*begin the cart\n +a shop\n/m);
  expect(blame.stdout).toMatch(/^1 +ada +1 +one\n2 +bob +2 +2$/m);
  expect(diff.stdout).toContain("--- a/src/cart.ts\n+++ b/src/cart.ts\n");
  expect(diff.stdout).toContain("-two\n+2\n");
  expect(JSON.parse(json.stdout)).toMatchObject({
    version: 1,
    files: [{ path: "src/cart.ts", version: 1, size: 8 }],
  });
  const missing = await run("blame", "shop", "nothing.ts", "--json");
  expect([missing.code, JSON.parse(missing.stdout)]).toMatchObject([
    3,
    { error: { code: "NO_FILE" } },
  ]);
}, 60_000);

test("a conflict that waits is listed, explained, and decided from the command line", async () => {
  const { ada, bob } = await begin();
  const found = Promise.withResolvers<WorkspaceConflict>();
  const waiting = ada.write("src/cart.ts", "one\nzwei\n", {
    base: 1,
    message: "count in German",
    resolve: "escalate",
    onConflict: found.resolve,
  });
  const { id } = await found.promise;
  const [listed, explained, wrong] = await Promise.all([
    run("conflicts", "shop"),
    run("conflicts", "shop", id),
    run("resolve", "shop", id),
  ]);
  expect(listed.stdout).toMatch(
    new RegExp(`^${id} +ada +escalate +src/cart.ts +bob +count in German`, "m"),
  );
  expect(explained.stdout).toContain("2  bob: count in figures");
  expect(explained.stdout).toContain("Open.");
  expect(wrong.code).toBe(2);
  await writeFile(join(folder, "merged"), "one\n2 (zwei)\n");
  const decided = await run(
    "resolve",
    "shop",
    id,
    "--file",
    `src/cart.ts=${join(folder, "merged")}`,
    "--json",
  );
  expect(JSON.parse(decided.stdout)).toEqual({ conflict: id, outcome: "committed" });
  expect(await waiting).toMatchObject({ version: 3 });
  expect((await bob.read("src/cart.ts")).text).toBe("one\n2 (zwei)\n");
  expect((await run("conflicts", "shop")).stdout).toContain("No open conflicts");
  const again = await run("resolve", "shop", id, "--ours");
  expect(again.code).not.toBe(0);
}, 60_000);

test("a checkout writes what differs, overwrites nothing unasked, and removes only what it has written", async () => {
  const { ada } = await begin();
  const first = await run("checkout", "shop", folder, "--at", "1", "--json");
  expect(JSON.parse(first.stdout)).toMatchObject({
    version: 1,
    written: ["logo.png", "src/cart.ts"],
  });
  expect(await readFile(join(folder, "src/cart.ts"), "utf8")).toBe("one\ntwo\n");
  expect([...(await readFile(join(folder, "logo.png")))]).toEqual([0, 255, 1, 254]);
  await writeFile(join(folder, "src/notes.md"), "mine");
  await writeFile(join(folder, "src/cart.ts"), "changed\n");
  const refused = await run("checkout", "shop", folder);
  expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining("src/cart.ts") });
  expect(await readFile(join(folder, "src/cart.ts"), "utf8")).toBe("changed\n");
  expect((await run("checkout", "shop", folder, "--force")).code).toBe(0);
  expect(await readFile(join(folder, "src/cart.ts"), "utf8")).toBe("one\n2\n");
  await ada.remove("src/cart.ts", { base: 2 });
  await ada.remove("logo.png", { base: 2 });
  const last = await run("checkout", "shop", folder, "--json");
  expect(JSON.parse(last.stdout)).toMatchObject({ removed: ["logo.png", "src/cart.ts"] });
  expect((await readdir(folder)).toSorted()).toEqual([".plexus", "src"]);
  expect(await readdir(join(folder, "src"))).toEqual(["notes.md"]);
}, 60_000);

test("a checkout follows no symbolic link out of its directory", async () => {
  await begin();
  const outside = join(folder, "outside");
  const inside = join(folder, "inside");
  await mkdir(outside);
  await mkdir(inside);
  await symlink(outside, join(inside, "src"));
  const linked = await run("checkout", "shop", inside, "--force", "--json");
  expect(JSON.parse(linked.stdout)).toMatchObject({ error: { code: "INVALID_INPUT" } });
  expect(await readdir(outside)).toEqual([]);
  await rm(join(inside, "src"));
  await writeFile(join(outside, "cart.ts"), "theirs");
  await mkdir(join(inside, "src"));
  await symlink(join(outside, "cart.ts"), join(inside, "src/cart.ts"));
  expect((await run("checkout", "shop", inside)).code).toBe(1);
  expect((await run("checkout", "shop", inside, "--force")).code).toBe(0);
  expect(await readFile(join(outside, "cart.ts"), "utf8")).toBe("theirs");
  expect(await readFile(join(inside, "src/cart.ts"), "utf8")).toBe("one\n2\n");
}, 60_000);

test("what was changed in a checkout is imported on the version it is of, so nothing newer is overwritten", async () => {
  const { ada } = await begin();
  await run("checkout", "shop", folder);
  await writeFile(join(folder, "src/cart.ts"), "one\n2\n3\n");
  await writeFile(join(folder, "new.md"), "new\n");
  await rm(join(folder, "logo.png"));
  await ada.write("elsewhere.ts", "");
  const done = await run("import", "shop", folder, "--agent", "eve", "-m", "by hand", "--json");
  expect(JSON.parse(done.stdout)).toEqual({
    version: 4,
    commits: 1,
    written: ["new.md", "src/cart.ts"],
    removed: ["logo.png"],
  });
  const [last] = await ada.log({ limit: 1 });
  expect(last).toMatchObject({ by: "eve", message: "by hand" });
  const nothing = await run("import", "shop", folder, "--json");
  expect(JSON.parse(nothing.stdout)).toMatchObject({ version: 4, commits: 0 });
  await ada.read("src/cart.ts");
  await ada.write("src/cart.ts", "ada's\n");
  await writeFile(join(folder, "src/cart.ts"), "by hand again\n");
  const refused = await run("import", "shop", folder, "--json");
  expect([refused.code, JSON.parse(refused.stdout)]).toMatchObject([
    1,
    { error: { code: "CONFLICT" } },
  ]);
  expect((await ada.read("src/cart.ts")).text).toBe("ada's\n");
}, 60_000);

test("a directory with links is not imported, and of a git work tree what git ignores is left out", async () => {
  const { ada } = await begin();
  await symlink("/etc/passwd", join(folder, "passwd"));
  const linked = await run("import", "shop", folder, "--json");
  expect(JSON.parse(linked.stdout)).toMatchObject({ error: { code: "INVALID_INPUT" } });
  await rm(join(folder, "passwd"));
  git("init", "-q");
  await writeFile(join(folder, ".gitignore"), "ignored\n");
  await writeFile(join(folder, "ignored"), "");
  await writeFile(join(folder, "kept"), new Uint8Array([0, 1, 2]));
  const done = await run("import", "shop", folder, "--json");
  expect(JSON.parse(done.stdout)).toMatchObject({ written: [".gitignore", "kept"] });
  expect([...(await ada.read("kept")).bytes]).toEqual([0, 1, 2]);
}, 60_000);

test("a git repository gets every commit with its agent as the author, and later those that are new", async () => {
  const { ada } = await begin();
  const first = await run("checkout", "shop", folder, "--git", "--json");
  expect(JSON.parse(first.stdout)).toEqual({ version: 2, commits: 2, branch: "main" });
  expect(git("log", "--format=%an|%s")).toBe("bob|count in figures\nada|begin the cart");
  expect(git("status", "--porcelain")).toBe("");
  expect(await readFile(join(folder, "src/cart.ts"), "utf8")).toBe("one\n2\n");
  expect([...(await readFile(join(folder, "logo.png")))]).toEqual([0, 255, 1, 254]);
  await ada.remove("logo.png", { base: 2, message: 'no "logo"' });
  await ada.write('we"ird ü.md', "x");
  const second = await run("checkout", "shop", folder, "--git", "--json");
  expect(JSON.parse(second.stdout)).toMatchObject({ version: 4, commits: 2 });
  expect(git("log", "--format=%an", "-2")).toBe("ada\nada");
  expect((await readdir(folder)).toSorted()).toEqual([".git", "src", 'we"ird ü.md']);
  expect(git("fsck", "--strict")).toBe("");
  await writeFile(join(folder, "src/cart.ts"), "local work");
  await ada.write("src/cart.ts", "newer\n", { base: 2 });
  const refused = await run("checkout", "shop", folder, "--git");
  expect(refused.code).toBe(1);
  expect(await readFile(join(folder, "src/cart.ts"), "utf8")).toBe("local work");
  git("checkout", "-q", "--", "src/cart.ts");
  expect((await run("checkout", "shop", folder, "--git")).code).toBe(0);
  expect(await readFile(join(folder, "src/cart.ts"), "utf8")).toBe("newer\n");
}, 90_000);

test("serve hosts workspaces until it is told to end, and without anybody who does a command says so", async () => {
  const mesh = await meshes.join();
  const nobody = await run("ls", "shop", "--timeout", "200ms", "--json");
  expect([nobody.code, JSON.parse(nobody.stdout)]).toMatchObject([
    3,
    { error: { code: "NO_AGENT" } },
  ]);
  await using server = startPlexus(["workspace", "serve"], {
    PLEXUS_SERVERS: meshes.broker.url,
    PLEXUS_MESH: meshes.name,
  });
  await server.waitForLine(/hosts workspaces/, 60_000);
  await mesh.workspace("shop").write("a", "1");
  expect((await run("ls", "shop")).stdout).toMatch(/^a +1 +1 /m);
  expect(await server.kill("SIGTERM")).toMatchObject({ code: 130 });
}, 90_000);
