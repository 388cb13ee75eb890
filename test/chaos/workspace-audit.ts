import { Workspaces, type FileState, type WorkspaceState } from "@plexus/core";
import type { Mesh, StoredCommit, Workspace } from "@plexus/mesh";
import type { JournalEntry } from "../support/journal.ts";
import type { Edit } from "./editors.ts";

/**
 * What of the edits is not as their agents were told: accepted ones that history does not have, rejected ones that it has, and lost
 * updates: a commit after which a line is gone that somebody else had added.
 */
export async function auditEdits(repo: Workspace, edits: readonly Edit[]): Promise<string[]> {
  const wrong: string[] = [];
  const commits = new Map<string, StoredCommit>();
  for await (const commit of repo.commitsFrom(1)) {
    if (commits.has(commit.id)) wrong.push(`${commit.id} was committed twice`);
    commits.set(commit.id, commit);
    if (commit.version !== commits.size) wrong.push(`version ${commit.version} is out of order`);
    wrong.push(...(await lostBy(repo, commit)));
  }
  for (const edit of edits) {
    const { id, outcome } = edit;
    const found = commits.get(id)?.version;
    commits.delete(id);
    if (outcome === "failed") wrong.push(`${id} failed: ${edit.why}`);
    if (outcome === "rejected" && found !== undefined)
      wrong.push(`${id} was rejected, and is there`);
    if (outcome === "rejected" && edit.told === 0) wrong.push(`${id} was not told why`);
    if (outcome === "accepted" && found !== edit.version) {
      wrong.push(`${id} was accepted as ${edit.version}, and is ${found ?? "nowhere"}`);
    }
  }
  for (const id of commits.keys()) wrong.push(`${id} is there, and nobody was told so`);
  return wrong;
}

/** Each change must hold every line that stood there before, and the commit's own. */
async function lostBy(repo: Workspace, { id, changes }: StoredCommit): Promise<string[]> {
  const found = await Promise.all(
    changes.map(async ({ path, before, hash, size }) => {
      const [old, now] = await Promise.all([linesOf(repo, before), linesOf(repo, { hash, size })]);
      const expected = [...old, id].toSorted();
      return now.toSorted().join("\n") === expected.join("\n")
        ? []
        : [`${id} lost lines of ${path}`];
    }),
  );
  return found.flat();
}

async function linesOf(
  repo: Workspace,
  { hash, size }: { readonly hash?: string | undefined; readonly size: number },
): Promise<string[]> {
  if (hash === undefined) return [];
  const text = Buffer.from(await repo.content({ hash, size })).toString();
  return text.split("\n").filter((line) => line !== "");
}

/** The state that the recorded events give, as text: equal texts are equal states. */
export function rebuilt(journal: readonly JournalEntry[], workspace: string): string {
  let state: WorkspaceState = Workspaces.initial(workspace);
  for (const { entity, record } of journal) {
    if (entity !== Workspaces.name || record?.key !== workspace) continue;
    for (const [name, data] of record.events) {
      const event = name as keyof typeof Workspaces.events;
      state = Workspaces.fold[event](state, data as never);
    }
  }
  const { head, files, conflicts, rules } = state;
  return asText(head, files.flat(), Object.keys(conflicts), rules);
}

/** The state that the owner of a workspace has now, as the same text. */
export async function live(mesh: Mesh, workspace: string): Promise<string> {
  const owner = mesh.get(Workspaces, workspace);
  const { head, rules } = await owner.stat([]);
  const conflicts = await owner.conflicts(undefined);
  const files: FileState[] = [];
  for (let bucket: number | undefined = 0; bucket !== undefined;) {
    const page: { files: FileState[]; next?: number | undefined } = await owner.list({ bucket });
    files.push(...page.files);
    bucket = page.next;
  }
  return asText(head, files, conflicts, rules);
}

function asText(
  head: number,
  files: readonly FileState[],
  conflicts: readonly string[],
  rules: readonly object[],
): string {
  const sorted = files
    .toSorted((a, b) => (a.path < b.path ? -1 : 1))
    .map(({ path, version, hash, size, at, by }) => [path, version, hash ?? null, size, at, by]);
  return JSON.stringify([head, sorted, conflicts, rules]);
}
