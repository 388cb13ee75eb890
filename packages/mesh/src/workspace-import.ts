import { lstat, readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { CHECKOUT_FOLDER, MeshError, demandPath, quote } from "@plexus/core";
import { nameOf } from "./nats/blob-store.ts";
import { baseIn, keepBase } from "./workspace-base.ts";
import { inLanes } from "./workspace-checkout.ts";
import type { CommitOptions } from "./workspace-committer.ts";
import { filesInWorkTree, isWorkTree } from "./workspace-git.ts";
import type { Workspace } from "./workspace.ts";

/** Options of {@link importTree}. */
export interface ImportOptions extends Pick<
  CommitOptions,
  "message" | "resolve" | "signal" | "onConflict"
> {
  /** Also remove what is in the workspace and not in the directory. What a checkout or an import has seen there always is. */
  readonly prune?: boolean;
}

/** What an import has committed. */
export interface ImportReport {
  /** The newest of them; of an import that found nothing new, the workspace's. */
  readonly version: number;
  readonly commits: number;
  readonly written: readonly string[];
  readonly removed: readonly string[];
}

const FILES_PER_COMMIT = 1_000;
const MAX_NAMED = 20; // files that an error names

/**
 * Commits what has changed in a directory: files as they are on disk, of a git work tree those that git does not ignore. What a
 * checkout or an export has written there, or an earlier import has taken from there, is based on its version; everything else on
 * nothing, so that it overwrites no file that differs. More than 1,000 files become several commits. Rejects with `INVALID_INPUT` for symbolic links and paths that a
 * workspace cannot hold, `CONFLICT` as any commit.
 */
export async function importTree(
  repo: Workspace,
  directory: string,
  { prune = false, ...options }: ImportOptions = {},
): Promise<ImportReport> {
  const isGit = await isWorkTree(directory);
  const head = await repo.at();
  const based = await baseIn(repo, directory, head.version, isGit);
  const own = based.files;
  const known = new Map((await head.list()).map(({ path, hash }) => [path, hash]));
  const names = isGit ? await filesInWorkTree(directory) : await walk(directory);
  const found = await demandFiles(directory, names);
  const hashes = new Map<string, string>();
  await inLanes([...found], async ([path, name]) => {
    hashes.set(path, nameOf(await readFile(join(directory, name))).hash);
  });
  const written = [...hashes].filter(([path, hash]) => {
    return known.get(path) !== hash && own[path]?.hash !== hash;
  });
  const missing = Object.keys(own).filter((path) => !found.has(path) && known.has(path));
  const surplus = prune ? [...known.keys()].filter((path) => !found.has(path)) : [];
  const removed = [...new Set([...missing, ...surplus])];
  const changes = [...written.map(([path]) => path), ...removed].toSorted();
  const files = { ...own };
  for (const [path, hash] of hashes) {
    if (known.get(path) === hash) files[path] = { hash, version: head.version };
  }
  let version = head.version;
  let commits = 0;
  for (let at = 0; at < changes.length; at += FILES_PER_COMMIT) {
    const part = changes.slice(at, at + FILES_PER_COMMIT);
    const base = (path: string): number => {
      const seen = own[path]?.version;
      if (seen !== undefined) return seen;
      return prune && !found.has(path) ? head.version : 0;
    };
    const message = options.message ?? `import ${directory}`;
    const result = await repo.writeAll(
      part.map((path) => ({ path, base: base(path) })),
      async (path) => {
        const name = found.get(path);
        return name === undefined ? undefined : readFile(join(directory, name));
      },
      { ...options, message },
    );
    ({ version } = result);
    commits++;
    const clashed = new Set(
      result.conflicts.flatMap(({ clashes }) => clashes.map(({ path }) => path)),
    );
    for (const path of part) {
      const hash = hashes.get(path);
      if (clashed.has(path)) continue; // what was decided is not what is on disk
      if (hash === undefined) delete files[path];
      else files[path] = { hash, version };
    }
    // Now, should a later one be refused.
    await keepBase(repo, directory, { ...based, files });
  }
  if (commits === 0) await keepBase(repo, directory, { ...based, files });
  return {
    version,
    commits,
    written: written.map(([path]) => path).toSorted(),
    removed: removed.toSorted(),
  };
}

/** Every file below a directory, by its path from there. What is git's own or a checkout's is left out. */
async function walk(directory: string): Promise<string[]> {
  const files: string[] = [];
  const visit = async (folder: string): Promise<void> => {
    const entries = await readdir(join(directory, folder), { withFileTypes: true });
    for (const entry of entries) {
      if (entry.name === ".git" || (folder === "" && entry.name === CHECKOUT_FOLDER)) continue;
      const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
      if (entry.isDirectory()) await visit(path);
      else files.push(path);
    }
  };
  await visit("");
  return files;
}

/** Files by their paths. Throws `INVALID_INPUT` that names all that cannot be imported: a symbolic link may lead anywhere. */
async function demandFiles(
  directory: string,
  names: readonly string[],
): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  const refused: string[] = [];
  await inLanes(names, async (name) => {
    try {
      const there = await lstat(join(directory, name));
      if (!there.isFile()) {
        const what = there.isSymbolicLink() ? "a symbolic link" : "no ordinary file";
        throw new Error(`${quote(name)} is ${what}`);
      }
      const path = demandPath(name);
      if (found.has(path)) throw new Error(`${quote(path)} is there twice, in two normal forms`);
      found.set(path, name);
    } catch (error) {
      refused.push((error as Error).message.replace(/\.$/, ""));
    }
  });
  if (refused.length === 0) return found;
  const more = refused.length > MAX_NAMED ? `; and ${refused.length - MAX_NAMED} more` : "";
  const text = `Nothing is imported of ${directory}: ${refused.toSorted().slice(0, MAX_NAMED).join("; ")}${more}.`;
  throw new MeshError("INVALID_INPUT", text);
}
