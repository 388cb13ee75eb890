import { MeshError, quote } from "./errors.ts";
import type { CommitRequest, WorkspaceState } from "./workspace-model.ts";
import { demandPath, directoriesOf, foldPath } from "./workspace-path.ts";
import { filesOf, findFile, findTwin } from "./workspace-tree.ts";

/** Throws `INVALID_INPUT` for a commit that makes no sense in this workspace, whatever others do. */
export function demandCommit(state: WorkspaceState, request: CommitRequest): void {
  const refuse = (why: string): never => {
    throw new MeshError("INVALID_INPUT", `Commit ${quote(request.id)}: ${why}.`);
  };
  const { head, files } = state;
  for (const version of request.parents) {
    if (version > head) refuse(`parent ${version} does not exist, the workspace is at ${head}`);
  }
  for (const { path, base } of [...request.reads, ...request.writes]) {
    if (demandPath(path) !== path) refuse(`${quote(path)} is not in normal form C`);
    if (base > head)
      refuse(`base ${base} of ${quote(path)} does not exist, the workspace is at ${head}`);
  }
  const written = new Map(request.writes.map((write) => [write.path, write]));
  if (written.size < request.writes.length) refuse("a path is written twice");
  const added = request.writes.filter(
    ({ path, hash }) => hash !== undefined && findFile(files, path)?.hash === undefined,
  );
  if (added.length === 0) return;
  const stays = (path: string): boolean => {
    const write = written.get(path);
    return write ? write.hash !== undefined : findFile(files, path)?.hash !== undefined;
  };
  const directories = new Set<string>();
  for (const { path } of filesOf(files)) {
    if (stays(path)) for (const directory of directoriesOf(path)) directories.add(directory);
  }
  const folded = new Map<string, string>();
  for (const { path } of added) for (const one of directoriesOf(path)) directories.add(one);
  for (const { path } of added) {
    const twin = findTwin(files, path);
    const other = twin && stays(twin.path) ? twin.path : folded.get(foldPath(path));
    if (other !== undefined)
      refuse(`${quote(path)} differs from ${quote(other)} in nothing but case`);
    folded.set(foldPath(path), path);
    if (directories.has(path)) refuse(`${quote(path)} is a directory`);
    const file = directoriesOf(path).find(stays);
    if (file !== undefined) refuse(`${quote(file)} is a file, so nothing can be in it`);
  }
}
