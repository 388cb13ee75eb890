import { createHash, randomBytes } from "node:crypto";
import {
  lstat,
  mkdir,
  readFile,
  readdir,
  rename,
  rmdir,
  unlink,
  writeFile,
} from "node:fs/promises";
import { dirname, join, relative, sep } from "node:path";
import { CHECKOUT_FOLDER, MeshError } from "@plexus/core";
import { z } from "zod";
import type { WorkspaceTree } from "./workspace-files.ts";

/** What a directory holds of a workspace: of each file the hash, and the version of the workspace that it is of. */
export interface CheckoutRecord {
  readonly workspace: string;
  readonly files: Record<string, { readonly hash: string; readonly version: number }>;
}

/** Who has written a record down. What only an import has is the directory's own: no checkout overwrites or removes that. */
export type RecordedBy = "checkout" | "import";

/** What a checkout has done. */
export interface CheckoutReport {
  readonly version: number;
  readonly written: readonly string[];
  readonly removed: readonly string[];
  readonly unchanged: number;
}

const AT_ONCE = 16;
const DIRECTORY = "directory";
const Recorded = z.object({
  workspace: z.string(),
  files: z.record(
    z.string(),
    z.object({ hash: z.string(), version: z.number().int().nonnegative() }),
  ),
});

/**
 * Writes a version of a workspace into a directory. What somebody has changed there, or what is in the way, is overwritten only with
 * `force`; nothing is removed that an earlier checkout has not written, even if it is where a file must be. Rejects with
 * `CONFLICT`, which names those files, or `INVALID_INPUT` if a symbolic link would lead elsewhere; then nothing was written.
 */
export async function checkoutTree(
  workspace: string,
  tree: WorkspaceTree,
  directory: string,
  { force = false }: { readonly force?: boolean } = {},
): Promise<CheckoutReport> {
  const before = await readRecord(directory, "checkout");
  if (before && before.workspace !== workspace && !force) {
    throw new MeshError("CONFLICT", `${directory} holds workspace ${before.workspace}.`, {
      retryable: false,
    });
  }
  const wanted = await tree.list();
  const owned = before?.files ?? {};
  const keep = new Set(wanted.map(({ path }) => path));
  const gone = Object.keys(owned).filter((path) => !keep.has(path));
  const written: string[] = [];
  const removed: string[] = [];
  const dirty: string[] = [];
  const leaving = new Set(gone);
  await inLanes(wanted, async ({ path, hash }) => {
    const file = await demandInside(directory, path);
    if (file !== undefined && !leaving.has(file)) dirty.push(file);
    const there = file === undefined ? await hashOf(directory, path) : undefined;
    if (there === hash) return;
    written.push(path);
    if (there === DIRECTORY) {
      const strangers = (await filesBelow(directory, path)).filter((one) => !leaving.has(one));
      if (strangers.length > 0) throw dirtyError(directory, strangers);
    } else if (there !== undefined && there !== owned[path]?.hash) dirty.push(path);
  });
  await inLanes(gone, async (path) => {
    await demandInside(directory, path);
    const there = await hashOf(directory, path);
    if (there === undefined) return;
    if (there !== owned[path]?.hash) dirty.push(path);
    removed.push(path);
  });
  if (dirty.length > 0 && !force) throw dirtyError(directory, dirty);
  // Directories that become empty go with the last one.
  for (const path of removed.toSorted()) await remove(directory, path);
  await inLanes(written, async (path) =>
    writeSafely(directory, path, (await tree.read(path)).bytes),
  );
  const { version } = tree;
  const files = Object.fromEntries(wanted.map(({ path, hash }) => [path, { hash, version }]));
  await writeRecord(directory, "checkout", { workspace, files });
  return {
    version,
    written: written.toSorted(),
    removed: removed.toSorted(),
    unchanged: wanted.length - written.length,
  };
}

/** What an earlier checkout or import has written down; undefined if there was none. */
export async function readRecord(
  directory: string,
  by: RecordedBy,
): Promise<CheckoutRecord | undefined> {
  await demandInside(directory, join(CHECKOUT_FOLDER, `${by}.json`));
  const file = join(directory, CHECKOUT_FOLDER, `${by}.json`);
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch {
    return undefined;
  }
  const parsed = Recorded.safeParse(parse(text));
  if (parsed.success) return parsed.data;
  throw new MeshError("INVALID_INPUT", `${file} cannot be read. Remove it to begin anew.`);
}

/** Writes down what a directory holds. */
export async function writeRecord(
  directory: string,
  by: RecordedBy,
  record: CheckoutRecord,
): Promise<void> {
  const text = `${JSON.stringify(record, undefined, 1)}\n`;
  await writeSafely(directory, join(CHECKOUT_FOLDER, ".gitignore"), Buffer.from("*\n")); // it is of this directory only
  await writeSafely(directory, join(CHECKOUT_FOLDER, `${by}.json`), Buffer.from(text));
}

/** The hash of a file as it is on disk; undefined: there is none. What is no file counts as one that is in the way. */
async function hashOf(directory: string, path: string): Promise<string | undefined> {
  const file = join(directory, path);
  try {
    const there = await lstat(file);
    if (there.isDirectory()) return DIRECTORY;
    if (!there.isFile()) return "something else";
    return createHash("sha256")
      .update(await readFile(file))
      .digest("base64url");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw error;
  }
}

/** Every file below a folder, by its path from the directory. */
async function filesBelow(directory: string, folder: string): Promise<string[]> {
  const entries = await readdir(join(directory, folder), { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => relative(directory, join(entry.parentPath, entry.name)).replaceAll(sep, "/"));
}

/**
 * Throws `INVALID_INPUT` if a directory on the way to a file is a symbolic link: it may lead anywhere. Gives what is no directory on
 * that way.
 */
async function demandInside(directory: string, path: string): Promise<string | undefined> {
  let found: string | undefined;
  for (let folder = dirname(path); folder !== "."; folder = dirname(folder)) {
    const there = await lstat(join(directory, folder)).catch(() => undefined);
    if (there?.isSymbolicLink()) {
      throw new MeshError(
        "INVALID_INPUT",
        `${join(directory, folder)} is a symbolic link, so ${path} is not written.`,
      );
    }
    if (there?.isDirectory() === false) found = folder;
  }
  return found;
}

/** Writes beside and renames: nobody sees half a file, and a link in its place is replaced, not followed. */
async function writeSafely(directory: string, path: string, bytes: Uint8Array): Promise<void> {
  const file = join(directory, path);
  const scratch = join(directory, CHECKOUT_FOLDER, `new-${randomBytes(6).toString("hex")}`);
  await mkdir(dirname(scratch), { recursive: true });
  await clearTheWay(directory, path);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(scratch, bytes);
  await rename(scratch, file);
}

/** Files where a directory must be, and empty directories where a file must be: only with `force`, or left by removals. */
async function clearTheWay(directory: string, path: string): Promise<void> {
  const names = path.split("/");
  for (let n = 1; n < names.length; n++) {
    const folder = join(directory, ...names.slice(0, n));
    const there = await lstat(folder).catch(() => undefined);
    if (there?.isFile()) await unlink(folder);
  }
  const file = join(directory, path);
  const there = await lstat(file).catch(() => undefined);
  if (there?.isDirectory()) await rmdir(file);
}

async function remove(directory: string, path: string): Promise<void> {
  await unlink(join(directory, path)).catch(() => undefined);
  for (let folder = dirname(path); folder !== "."; folder = dirname(folder)) {
    // The way up, as long as it is empty.
    const left = await readdir(join(directory, folder)).catch(() => ["?"]);
    if (left.length > 0) return;
    await rmdir(join(directory, folder));
  }
}

function dirtyError(directory: string, paths: string[]): MeshError {
  const some = paths.toSorted().slice(0, 5).join(", ");
  const text = `${paths.length} files in ${directory} are not as they were checked out, or in the way: ${some}. Forced, they are overwritten.`;
  return new MeshError("CONFLICT", text, {
    retryable: false,
    details: { paths: paths.toSorted() },
  });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/** Does the same with each item, some at a time. */
export async function inLanes<T>(
  items: readonly T[],
  work: (item: T) => Promise<void>,
): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < items.length) await work(items[next++]!);
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, items.length) }, lane));
}
