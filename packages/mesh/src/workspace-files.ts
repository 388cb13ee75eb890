import { MeshError, demandPath, type FileState, type Side } from "@plexus/core";
import type { WorkspaceServices } from "./workspace-services.ts";

/** One file, as it stands at some version of a workspace. */
export interface WorkspaceFile {
  readonly path: string;
  /** Of the commit that made it what it is. */
  readonly version: number;
  /** SHA-256 of the content, base64url. */
  readonly hash: string;
  readonly size: number;
}

/** One file with its content. */
export interface WorkspaceContent extends WorkspaceFile {
  /** Not to be changed. */
  readonly bytes: Uint8Array;
  /** The bytes as UTF-8. */
  readonly text: string;
}

/** A workspace at one version, to be read. */
export interface WorkspaceTree {
  readonly version: number;
  /** Rejects with `NO_FILE`. */
  read(path: string): Promise<WorkspaceContent>;
  /** Like `read`; undefined: there is no such file. */
  find(path: string): Promise<WorkspaceContent | undefined>;
  /** The files, or those whose path begins so, by their paths. */
  list(prefix?: string): Promise<WorkspaceFile[]>;
}

/** Where a tree has its files from. */
export interface TreeSource {
  side(path: string): Promise<Side>;
  sides(): AsyncIterable<Side & { readonly path: string }>;
}

/** Makes a tree of what stands under each path. */
export function treeOf(
  services: WorkspaceServices,
  version: number,
  source: TreeSource,
): WorkspaceTree {
  const find = async (path: string): Promise<WorkspaceContent | undefined> => {
    const name = demandPath(path);
    return contentOf(services, name, await source.side(name));
  };
  return {
    version,
    find,
    read: async (path) => (await find(path)) ?? noFile(path, version),
    list: async (prefix = "") => {
      const files: WorkspaceFile[] = [];
      for await (const { path, version: since, hash, size } of source.sides()) {
        if (hash === undefined || !path.startsWith(prefix)) continue;
        files.push({ path, version: since, hash, size });
      }
      return files.toSorted((a, b) => (a.path < b.path ? -1 : 1));
    },
  };
}

/** Reads what stands there; undefined if that is nothing. */
export async function contentOf(
  services: WorkspaceServices,
  path: string,
  { version, hash, size }: Side,
): Promise<WorkspaceContent | undefined> {
  if (hash === undefined) return undefined;
  const bytes = await services.get({ hash, size });
  return {
    path,
    version,
    hash,
    size,
    bytes,
    get text() {
      return new TextDecoder().decode(bytes);
    },
  };
}

/** A path that nothing is known of. */
export const NOTHING: Omit<FileState, "path" | "by"> = { version: 0, size: 0, at: 0 };

function noFile(path: string, version: number): never {
  throw new MeshError("NO_FILE", `There is no ${path} at version ${version}.`);
}
