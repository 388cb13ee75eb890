import { diffArrays } from "diff";
import { MeshError, demandPath, type Side } from "@plexus/core";
import { linesOf, textOf, unifiedDiff } from "./text-merge.ts";
import type { StoredCommit } from "./workspace-journal.ts";
import type { WorkspaceReader } from "./workspace-reader.ts";

/** One line of a file, and the commit that made it what it is. */
export interface BlameLine {
  readonly line: number;
  readonly text: string;
  readonly version: number;
  readonly by: string;
  readonly message: string;
}

/** What changed in one file between two versions of a workspace. */
export interface FileDiff {
  readonly path: string;
  /** What stood there at both; without a hash, nothing did. */
  readonly before: Side;
  readonly after: Side;
  /** Unified. */
  readonly diff: string;
}

const MAX_LOG = 100;
const MAX_BLAME = 1_000; // commits of one file

/** The last commits, or those of one file, the newest first. */
export async function readLog(
  { journal, stat }: Pick<WorkspaceReader, "journal" | "stat">,
  { path, limit = MAX_LOG }: { readonly path?: string; readonly limit?: number },
): Promise<StoredCommit[]> {
  const name = path === undefined ? undefined : demandPath(path);
  const { head, at, files } = await stat(name === undefined ? [] : [name]);
  const found: StoredCommit[] = [];
  if (name !== undefined && files.length === 0) return found;
  const commits = name === undefined ? journal.commits(at, head) : journal.chain(name, files[0]!);
  if (limit <= 0) return found;
  for await (const commit of commits) {
    found.push(commit);
    if (found.length >= limit) break;
  }
  return found;
}

/** Who made each line of a file what it is. Rejects with `NO_FILE`, or `INVALID_INPUT` for what is no text. */
export async function readBlame(reader: WorkspaceReader, path: string): Promise<BlameLine[]> {
  const commits = (await readLog(pick(reader), { path, limit: MAX_BLAME })).toReversed();
  let lines: Omit<BlameLine, "line">[] = [];
  for (const { version, by, message, changes } of commits) {
    const { hash, size } = changes.find((change) => change.path === demandPath(path))!;
    const text = hash === undefined ? "" : textOf(await reader.services.get({ hash, size }));
    if (text === undefined) throw new MeshError("INVALID_INPUT", `${path} is not a text.`);
    const before = lines;
    lines = [];
    let at = 0;
    for (const { value, added, removed } of diffArrays(
      before.map((one) => one.text),
      linesOf(text),
    )) {
      if (removed) at += value.length;
      else if (added) lines.push(...value.map((one) => ({ text: one, version, by, message })));
      else {
        lines.push(...before.slice(at, at + value.length));
        at += value.length;
      }
    }
  }
  const last = commits.at(-1)?.changes.find((change) => change.path === demandPath(path));
  if (last?.hash === undefined) throw new MeshError("NO_FILE", `There is no ${path}.`);
  return lines.map(({ text, version, by, message }, n) => {
    return { line: n + 1, text: text.replace(/\r?\n$/, ""), version, by, message };
  });
}

/** What changed between two versions, file by file. */
export async function readDiff(
  reader: WorkspaceReader,
  from: number,
  to: number,
  path?: string,
): Promise<FileDiff[]> {
  const { head, at } = await reader.stat([]);
  if (Math.max(from, to) > head) {
    throw new MeshError(
      "NO_FILE",
      `There is no version ${Math.max(from, to)}; the workspace is at ${head}.`,
    );
  }
  const paths = new Set<string>();
  for await (const { version, changes } of reader.journal.commits(at, head)) {
    if (version <= Math.min(from, to)) break;
    if (version > Math.max(from, to)) continue;
    for (const change of changes) paths.add(change.path);
  }
  const wanted = [...paths]
    .filter((one) => path === undefined || one === demandPath(path))
    .toSorted();
  const found = await Promise.all(
    wanted.map(async (one): Promise<FileDiff> => {
      const [before, after] = await Promise.all([reader.sideAt(one, from), reader.sideAt(one, to)]);
      const [old, now] = await Promise.all(
        [before, after].map(async ({ hash, size }) =>
          hash === undefined ? undefined : reader.services.get({ hash, size }),
        ),
      );
      return { path: one, before, after, diff: unifiedDiff(one, old, now) };
    }),
  );
  return found.filter(({ before, after }) => before.hash !== after.hash);
}

function pick(reader: WorkspaceReader): Pick<WorkspaceReader, "journal" | "stat"> {
  return { journal: reader.journal, stat: (paths) => reader.stat(paths) };
}
