import { Workspaces, type FileState, type Side } from "@plexus/core";
import type { EntityClient } from "./entity-client.ts";
import { NOTHING, treeOf, type WorkspaceTree } from "./workspace-files.ts";
import type { WorkspaceJournal } from "./workspace-journal.ts";
import type { WorkspaceServices } from "./workspace-services.ts";

/** Reads a workspace: what stands there now is the owner's to tell, what stood there is in the journal. */
export class WorkspaceReader {
  readonly services: WorkspaceServices;
  readonly journal: WorkspaceJournal;
  readonly owner: EntityClient<typeof Workspaces>;

  constructor(
    services: WorkspaceServices,
    journal: WorkspaceJournal,
    owner: EntityClient<typeof Workspaces>,
  ) {
    this.services = services;
    this.journal = journal;
    this.owner = owner;
  }

  /** What is known of some paths at this moment. */
  stat(paths: string[]): ReturnType<EntityClient<typeof Workspaces>["stat"]> {
    return this.owner.stat(paths);
  }

  /** What stood under a path at a version. */
  async sideAt(path: string, version: number): Promise<Side> {
    const { files } = await this.stat([path]);
    return this.journal.sideAt(path, files[0] ?? NOTHING, version);
  }

  /** What stood under every path at a version. */
  async *sidesAt(version: number): AsyncGenerator<Side & { readonly path: string }> {
    for (let bucket: number | undefined = 0; bucket !== undefined;) {
      // Each page begins where the one before ended.
      const page: { files: FileState[]; next?: number | undefined } = await this.owner.list({
        bucket,
      });
      yield* await Promise.all(
        page.files.map(async (file) => ({
          path: file.path,
          ...(await this.journal.sideAt(file.path, file, version)),
        })),
      );
      bucket = page.next;
    }
  }

  /** The workspace at a version, with some files replaced. */
  tree(version: number, replaced: ReadonlyMap<string, Side> = new Map()): WorkspaceTree {
    return treeOf(this.services, version, {
      side: async (path) => replaced.get(path) ?? this.sideAt(path, version),
      sides: () => this.#sides(version, replaced),
    });
  }

  async *#sides(
    version: number,
    replaced: ReadonlyMap<string, Side>,
  ): AsyncGenerator<Side & { readonly path: string }> {
    for await (const side of this.sidesAt(version)) if (!replaced.has(side.path)) yield side;
    for (const [path, side] of replaced) yield { ...side, path };
  }
}
