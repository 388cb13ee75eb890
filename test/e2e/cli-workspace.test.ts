import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
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
}, 90_000);

test("what is not there is looked for where it is listed", async () => {
  await begin();
  const missing = await Promise.all([
    run("blame", "shop", "nothing.ts"),
    run("resolve", "shop", "999", "--theirs"),
    run("conflicts", "shop", "999"),
    run("diff", "shop", "1", "99"),
    run("ls", "shop", "--at", "99"),
    run("checkout", "shop", folder, "--at", "99"),
  ]);
  expect(missing.map(({ code }) => code)).toEqual([3, 3, 3, 3, 3, 3]);
  expect(missing.map(({ stderr }) => /`plexus workspace (.*?)`/.exec(stderr)?.[1])).toEqual([
    "ls <workspace>",
    "conflicts shop",
    "conflicts shop",
    "log shop",
    "log shop",
    "log shop",
  ]);
}, 90_000);

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
}, 90_000);

test("checkout and import take files to a directory and back, and overwrite nothing unasked", async () => {
  const { ada } = await begin();
  const first = await run("checkout", "shop", folder, "--json");
  expect(JSON.parse(first.stdout)).toMatchObject({
    version: 2,
    written: ["logo.png", "src/cart.ts"],
  });
  await writeFile(join(folder, "src/cart.ts"), "by hand\n");
  const refused = await run("checkout", "shop", folder);
  expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining("src/cart.ts") });
  const args = ["--agent", "eve", "-m", "by hand", "--json"];
  const done = await run("import", "shop", folder, ...args);
  expect(JSON.parse(done.stdout)).toMatchObject({ version: 3, written: ["src/cart.ts"] });
  const [last] = await ada.log({ limit: 1 });
  expect(last).toMatchObject({ by: "eve", message: "by hand" });
  await writeFile(join(folder, "src/cart.ts"), "in the way\n");
  expect((await run("checkout", "shop", folder, "--force")).code).toBe(0);
  expect(await readFile(join(folder, "src/cart.ts"), "utf8")).toBe("by hand\n");
}, 90_000);

test("importing a directory again commits what has changed in it since", async () => {
  const { ada } = await begin();
  await writeFile(join(folder, "a"), "1\n");
  await writeFile(join(folder, "b"), "1\n");
  expect((await run("import", "shop", folder)).stdout).toMatch(/^2 files written, 0 removed/);
  await writeFile(join(folder, "a"), "2\n");
  await rm(join(folder, "b"));
  expect(await run("import", "shop", folder)).toEqual({
    code: 0,
    stdout: "1 files written, 1 removed; shop is at version 4.\n",
    stderr: "",
  });
  expect((await ada.read("a")).text).toBe("2\n");
}, 90_000);

test("an import says what it waits for, and gives up in time; one that cannot be names all that is wrong", async () => {
  await begin();
  await mkdir(join(folder, "src"));
  await writeFile(join(folder, "src/cart.ts"), "something else\n");
  const late = await run("import", "shop", folder, "--resolve", "escalate", "--timeout", "3s");
  expect(late.code).toBe(5);
  const [, id] = /Waits as conflict (\w+)/.exec(late.stderr) ?? [];
  expect(late.stderr).toContain(`Conflict ${id} stays open.`);
  const unclean = await run("resolve", "shop", id!, "--merged");
  expect(unclean).toMatchObject({ code: 1, stderr: expect.stringContaining("merge cleanly") });
  expect((await run("resolve", "shop", id!, "--theirs")).code).toBe(0);
  await symlink("/etc/passwd", join(folder, "link"));
  await writeFile(join(folder, "back\\slash"), "");
  const refused = await run("import", "shop", folder);
  expect(refused.code).toBe(1);
  expect(refused.stderr).toMatch(/"link" is a symbolic link/);
  expect(refused.stderr).toMatch(/back/);
}, 90_000);

test("an import of what is no directory says so, before anything else", async () => {
  const file = join(folder, "file");
  await writeFile(file, "");
  const [missing, other, program] = await Promise.all([
    run("import", "shop", join(folder, "nowhere")), // nobody hosts it
    run("import", "shop", file),
    run("import", "shop", file, "--json"),
  ]);
  expect(missing).toMatchObject({ code: 2, stdout: "" });
  expect(missing.stderr).toMatch(
    /^plexus workspace import: USAGE: The directory \S+nowhere cannot be read: ENOENT.*\.\n$/,
  );
  expect(other).toMatchObject({ code: 2, stderr: expect.stringContaining("ENOTDIR") });
  expect(program.code).toBe(2);
  expect(JSON.parse(program.stdout)).toMatchObject({ error: { code: "USAGE" } });
}, 90_000);

test("checkout --git makes each commit one of git, with its agent as the author", async () => {
  await begin();
  const done = await run("checkout", "shop", folder, "--git", "--json");
  expect(JSON.parse(done.stdout)).toEqual({ version: 2, commits: 2, branch: "main" });
  const log = execFileSync("git", ["log", "--format=%an|%s"], { cwd: folder, encoding: "utf8" });
  expect(log).toBe("bob|count in figures\nada|begin the cart\n");
  expect((await run("checkout", "shop", folder, "--git", "--force")).code).toBe(2);
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
