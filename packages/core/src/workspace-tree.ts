import { hash32 } from "./hash.ts";
import { foldPath } from "./workspace-path.ts";
import type { FileState } from "./workspace-model.ts";

const BUCKETS = 256;

/** The files of a workspace, and which of them are gone, in buckets: a change copies the bucket that it falls into, nothing else. */
export type Tree = FileState[][];

export const EMPTY_TREE: Tree = Array.from({ length: BUCKETS }, () => []);

/** What is known of a path: also of one that was removed. */
export function findFile(tree: Tree, path: string): FileState | undefined {
  return tree[bucketOf(path)]?.find((file) => file.path === path);
}

/** The tree with these files in it, or known to be gone. */
export function withFiles(tree: Tree, files: readonly FileState[]): Tree {
  const next = [...tree];
  for (const [bucket, changed] of Map.groupBy(files, ({ path }) => bucketOf(path))) {
    const paths = new Set(changed.map(({ path }) => path));
    const rest = tree[bucket]!.filter(({ path }) => !paths.has(path));
    next[bucket] = [...rest, ...changed];
  }
  return next;
}

/** A file that is there and whose path differs from this one in nothing but case. */
export function findTwin(tree: Tree, path: string): FileState | undefined {
  const folded = foldPath(path);
  return tree[bucketOf(path)]?.find(
    (file) => file.hash !== undefined && file.path !== path && foldPath(file.path) === folded,
  );
}

/** All that are there, and with `gone` also what was removed. In no particular order. */
export function* filesOf(tree: Tree, gone = false): Generator<FileState> {
  for (const bucket of tree) {
    for (const file of bucket) if (gone || file.hash !== undefined) yield file;
  }
}

/** Paths that differ only in case share a bucket. */
function bucketOf(path: string): number {
  return hash32(foldPath(path)) % BUCKETS;
}
