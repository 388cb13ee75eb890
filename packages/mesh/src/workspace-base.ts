import {
  readRecord,
  writeRecord,
  type CheckoutRecord,
  type RecordedBy,
} from "./workspace-checkout.ts";
import { versionInWorkTree } from "./workspace-git.ts";
import type { Workspace } from "./workspace.ts";

/** What the files of a directory are based on, and who says so: git keeps its own record. */
export interface DirectoryBase {
  readonly by: RecordedBy | "git";
  readonly files: CheckoutRecord["files"];
}

/** What a checkout, an export or an import has left in a directory; of several, the first of these. */
export async function baseIn(
  repo: Workspace,
  directory: string,
  head: number,
  isGit: boolean,
): Promise<DirectoryBase> {
  const checkout = await recorded(repo, directory, head, "checkout");
  if (checkout) return checkout;
  const version = isGit ? await versionInWorkTree(repo.name, directory) : 0;
  if (version > 0) {
    const files: CheckoutRecord["files"] = {};
    for (const { path, hash } of await (await repo.at(version)).list()) {
      files[path] = { hash, version };
    }
    return { by: "git", files };
  }
  return (await recorded(repo, directory, head, "import")) ?? { by: "import", files: {} };
}

/** Writes down what a directory holds now, for the next import. */
export async function keepBase(
  repo: Workspace,
  directory: string,
  { by, files }: DirectoryBase,
): Promise<void> {
  if (by === "git") return;
  await writeRecord(directory, by, { workspace: repo.name, files }).catch((error: unknown) => {
    // It is committed. A directory that cannot be written to is imported on nothing each time.
    if (by === "checkout") throw error;
  });
}

/** A record, unless it is of another workspace: of another name, or of one of this name in another mesh. */
async function recorded(
  repo: Workspace,
  directory: string,
  head: number,
  by: RecordedBy,
): Promise<DirectoryBase | undefined> {
  const record = await readRecord(directory, by);
  if (record?.workspace !== repo.name) return undefined;
  const { files } = record;
  const newest = Object.values(files).reduce((most, { version }) => Math.max(most, version), 0);
  if (newest > head) return undefined;
  const there = await (await repo.at(newest)).list();
  const hashes = new Map(there.map(({ path, hash }) => [path, hash]));
  const same = Object.entries(files).every(
    ([path, { hash, version }]) => version < newest || hashes.get(path) === hash,
  );
  return same ? { by, files } : undefined;
}
