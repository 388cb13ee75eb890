import { mkdtemp, mkdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Tree } from "./tree.ts";

/** Writes a tree into a folder. */
export async function writeTree(folder: string, tree: Tree): Promise<void> {
  const folders = new Set([...tree.keys()].map((path) => dirname(join(folder, path))));
  await Promise.all([...folders].map((one) => mkdir(one, { recursive: true })));
  await Promise.all([...tree].map(([path, text]) => writeFile(join(folder, path), text)));
}

/** Does something with a tree in a folder of its own, which is gone afterwards. */
export async function inFolder<T>(tree: Tree, work: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), "plexus-crew-"));
  try {
    await writeTree(folder, tree);
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
