import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir } from "node:fs/promises";
import { promisify } from "node:util";
import type { Tree } from "./tree.ts";
import type { Commit } from "./workplace.ts";

const run = promisify(execFile);
/** Nothing of the machine's own settings, such as hooks or signatures. */
const ENV = { GIT_CONFIG_GLOBAL: "/dev/null", GIT_CONFIG_NOSYSTEM: "1" };

/** Makes a folder a git repository with one commit for each of these, by who made it. */
export async function writeRepository(
  folder: string,
  commits: readonly { readonly commit: Commit; readonly tree: Tree }[],
): Promise<void> {
  await mkdir(folder, { recursive: true });
  await git(folder, "init", "--quiet", "--initial-branch=main");
  const child = spawn("git", ["fast-import", "--quiet", "--force"], {
    cwd: folder,
    env: { ...process.env, ...ENV },
    stdio: ["pipe", "ignore", "pipe"],
  });
  let words = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (words += text));
  const ended = once(child, "exit") as Promise<[number | null]>;
  child.stdin.end(commits.map(entry).join(""));
  const [code] = await ended;
  if (code !== 0) throw new Error(`git fast-import ended with ${code}: ${words}`);
  await git(folder, "reset", "--quiet", "--hard", "main");
}

/** Lines of `git <args>` in a folder. */
async function git(folder: string, ...args: string[]): Promise<string[]> {
  const { stdout } = await run("git", args, { cwd: folder, env: { ...process.env, ...ENV } });
  return stdout.split("\n").filter((line) => line !== "");
}

/** One commit in the words of `git fast-import`: the whole tree, which git stores once for each content. */
function entry({ commit, tree }: { commit: Commit; tree: Tree }): string {
  const who = `${commit.agent} <${commit.agent}@crew.invalid> ${Math.floor(commit.at / 1_000)} +0000`;
  const files = [...tree].map(([path, text]) => `M 100644 inline ${path}\n${data(text)}`);
  return `commit refs/heads/main\nauthor ${who}\ncommitter ${who}\n${data(commit.title)}deleteall\n${files.join("")}\n`;
}

function data(text: string): string {
  return `data ${Buffer.byteLength(text)}\n${text}\n`;
}
