import { Workspaces as Contract, token } from "@plexus/core";
import type { EntityClient } from "./entity-client.ts";
import type { EntityHandlers } from "./entity-host.ts";
import type { Runtime } from "./runtime.ts";
import { WorkspaceJournal } from "./workspace-journal.ts";
import { workspaceHandlers } from "./workspace-owner.ts";
import { WorkspaceReader } from "./workspace-reader.ts";
import { WorkspaceServices } from "./workspace-services.ts";
import { Workspace, type WorkspaceOptions } from "./workspace.ts";

/** The workspaces that one process uses or hosts. */
export class Workspaces {
  readonly #services: WorkspaceServices;
  readonly #journals = new Map<string, WorkspaceJournal>();

  constructor(runtime: Runtime) {
    this.#services = new WorkspaceServices(runtime);
  }

  /** What the owner of a workspace does. */
  get handlers(): EntityHandlers<typeof Contract> {
    return workspaceHandlers(this.#services);
  }

  open(name: string, owner: EntityClient<typeof Contract>, options: WorkspaceOptions): Workspace {
    token("Workspace", name);
    let journal = this.#journals.get(name);
    if (journal === undefined) {
      journal = new WorkspaceJournal(this.#services, name);
      this.#journals.set(name, journal);
    }
    const agent = options.agent ?? this.#services.runtime.name;
    return new Workspace(name, agent, new WorkspaceReader(this.#services, journal, owner), options);
  }

  connectionLost(): void {
    this.#services.js.connectionLost();
  }

  connectionRestored(): void {
    // Who follows a workspace asks the journal by itself.
  }

  close(): void {
    this.#services.close();
  }
}
