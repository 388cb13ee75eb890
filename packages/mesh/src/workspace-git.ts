import { spawn } from "node:child_process";
import { once } from "node:events";
import { text as textFrom } from "node:stream/consumers";
import { CHECKOUT_FOLDER, MeshError } from "@plexus/core";
import type { StoredCommit } from "./workspace-journal.ts";
import type { Workspace } from "./workspace.ts";

/** What an export has added to a git repository. */
export interface GitReport {
  /** The version that the branch is at. */
  readonly version: number;
  /** Commits added. */
  readonly commits: number;
  readonly branch: string;
}

const TRAILER = "Plexus-Version";
/** The developer's own settings and another repository's environment must not decide what is written. */
const OWN_ENV = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !name.startsWith("GIT_")),
);

/**
 * Adds the commits of a workspace to a git repository, made if there is none: each becomes a commit of git with its agent as the author, its
 * message, and its time. What was added before is not added again. The branch that is checked out follows if it can without losing
 * anything; otherwise it rejects with `CONFLICT`, and the commits are at `refs/plexus/<workspace>`.
 */
export async function exportToGit(
  repo: Workspace,
  directory: string,
  { to }: { readonly to?: number } = {},
): Promise<GitReport> {
  if (!(await isWorkTree(directory))) await git(directory, ["init", "--quiet", "-b", "main", "."]);
  const ref = `refs/plexus/${repo.name}`;
  const done = await exported(directory, ref);
  const version = to ?? (await repo.head());
  const commits: StoredCommit[] = [];
  if (version > done) {
    for await (const commit of repo.commitsFrom(done + 1)) {
      if (commit.version > version) break;
      commits.push(commit);
    }
  }
  if (commits.length > 0) await fastImport(repo, directory, ref, commits, done > 0);
  const branch = (await git(directory, ["symbolic-ref", "--short", "HEAD"])).trim();
  if (commits.length > 0 || done > 0) await follow(directory, ref);
  return { version, commits: commits.length, branch };
}

/** Whether a directory is in a work tree of git. */
export async function isWorkTree(directory: string): Promise<boolean> {
  const answer = await git(directory, ["rev-parse", "--show-prefix"]).catch(() => undefined);
  return answer?.trim() === "";
}

/** The version of a workspace that a work tree is based on, as far as it was exported there; 0: it was not. */
export async function versionInWorkTree(workspace: string, directory: string): Promise<number> {
  const ref = `refs/plexus/${workspace}`;
  const based = git(directory, ["merge-base", "--is-ancestor", ref, "HEAD"]);
  return based.then(
    () => exported(directory, ref),
    () => 0,
  );
}

/** What git knows there, and what it does not know and does not ignore. */
export async function filesInWorkTree(directory: string): Promise<string[]> {
  const listed = await git(directory, [
    "ls-files",
    "-z",
    "--cached",
    "--others",
    "--exclude-standard",
  ]);
  const deleted = new Set((await git(directory, ["ls-files", "-z", "--deleted"])).split("\0"));
  const files = new Set(listed.split("\0").filter((path) => path !== "" && !deleted.has(path)));
  return [...files].filter((path) => !path.startsWith(`${CHECKOUT_FOLDER}/`));
}

/** The version that was exported last, as the tip of the ref says. */
async function exported(directory: string, ref: string): Promise<number> {
  const format = `--format=%(trailers:key=${TRAILER},valueonly)`;
  const answer = await git(directory, ["log", "-1", format, ref]).catch(() => "");
  return Number(answer.trim()) || 0;
}

/** Writes commits in git's own format for imports: whole contents, no work tree. */
async function fastImport(
  repo: Workspace,
  directory: string,
  ref: string,
  commits: readonly StoredCommit[],
  goesOn: boolean,
): Promise<void> {
  const child = spawn("git", ["fast-import", "--quiet", "--done"], {
    cwd: directory,
    env: OWN_ENV,
    stdio: ["pipe", "ignore", "pipe"],
  });
  const errors = textFrom(child.stderr);
  const ended = once(child, "close") as Promise<[number | null]>;
  child.stdin.on("error", () => undefined); // it ended early: its exit code tells
  const send = async (chunk: string | Uint8Array): Promise<void> => {
    if (!child.stdin.write(chunk)) await Promise.race([once(child.stdin, "drain"), ended]);
  };
  const data = async (bytes: Uint8Array): Promise<void> => {
    await send(`data ${bytes.length}\n`);
    await send(bytes);
    await send("\n");
  };
  // A stream, in order.
  for (const [n, commit] of commits.entries()) {
    const { by, storedAt, version, message, intent, changes } = commit;
    const name = by.replaceAll(/[<>\n\r\0]/g, " ").trim() || "unknown";
    const address = by.replaceAll(/[^A-Za-z0-9._-]/g, "-");
    const who = `${name} <${address}@${repo.name}.plexus> ${Math.floor(storedAt / 1_000)} +0000`;
    await send(`commit ${ref}\nauthor ${who}\ncommitter ${who}\n`);
    const paragraphs = [message || `Version ${version}`, ...(intent ? [intent] : [])];
    await data(Buffer.from(`${[...paragraphs, `${TRAILER}: ${version}`].join("\n\n")}\n`));
    if (n === 0 && goesOn) await send(`from ${ref}^0\n`);
    for (const { path, hash } of changes) {
      if (hash === undefined) await send(`D ${quoted(path)}\n`);
    }
    for (const { path, hash, size } of changes) {
      if (hash === undefined) continue;
      await send(`M 100644 inline ${quoted(path)}\n`);
      await data(await repo.content({ hash, size }));
    }
    await send("\n");
  }
  child.stdin.end("done\n");
  const [code] = await ended;
  if (code !== 0) throw gitFailed("fast-import", await errors);
}

/** Lets the branch that is checked out follow, if nothing is lost by that. */
async function follow(directory: string, ref: string): Promise<void> {
  try {
    await git(directory, ["merge", "--quiet", "--ff-only", ref]);
  } catch (cause) {
    const text = `The branch in ${directory} cannot follow ${ref} without losing something: ${(cause as Error).message}`;
    throw new MeshError("CONFLICT", text, { cause, retryable: false });
  }
}

/** A path as git's import takes it. */
function quoted(path: string): string {
  return `"${path.replaceAll("\\", "\\\\").replaceAll('"', String.raw`\"`)}"`;
}

async function git(directory: string, args: readonly string[]): Promise<string> {
  // A repository that somebody else has made must not have commands of its own run.
  const child = spawn(
    "git",
    ["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", ...args],
    { cwd: directory, env: OWN_ENV, stdio: ["ignore", "pipe", "pipe"] },
  );
  const failed = new Promise<never>((_, reject) => child.once("error", reject));
  const ended = once(child, "close") as Promise<[number | null]>;
  ended.catch(() => undefined);
  const [out, errors, [code]] = await Promise.race([
    Promise.all([textFrom(child.stdout), textFrom(child.stderr), ended]),
    failed,
  ]);
  if (code !== 0) throw gitFailed(args[0] ?? "", errors);
  return out;
}

function gitFailed(command: string, errors: string): MeshError {
  return new MeshError("INVALID_INPUT", `git ${command}: ${errors.trim() || "it failed"}`);
}
