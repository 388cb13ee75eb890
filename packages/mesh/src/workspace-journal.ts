import { setTimeout as sleep } from "node:timers/promises";
import {
  MeshError,
  Workspaces,
  conflictAt,
  escapeKey,
  partitionOf,
  type Committed,
  type ConflictDetected,
  type ConflictResolved,
  type Side,
} from "@plexus/core";
import { readCommand } from "./entity-record.ts";
import { isNoStream } from "./nats/jetstream-error.ts";
import type { StoredMessage } from "./nats/stored-message.ts";
import type { WorkspaceServices } from "./workspace-services.ts";

/** One record of a workspace: what one command has changed. */
export interface WorkspaceRecord {
  readonly sequence: number;
  /** When it was stored, by the broker's clock: milliseconds since the epoch. */
  readonly storedAt: number;
  readonly events: readonly (readonly [name: string, data: unknown])[];
}

/** A commit, and when it was stored. */
export interface StoredCommit extends Committed {
  readonly storedAt: number;
}

const BATCH = 256;
const MAX_KNOWN = 1_024; // commits in memory
const LAG_MS = 10; // before a replica that is behind is asked again
const MAX_LAGS = 300;

/** The journal of one workspace, to be read: its commits, and the chain of commits of each file. */
export class WorkspaceJournal {
  readonly subject: string;
  readonly workspace: string;
  readonly #services: WorkspaceServices;
  readonly #known = new Map<number, StoredCommit>();

  constructor(services: WorkspaceServices, workspace: string) {
    const { subjects } = services.runtime;
    const partition = partitionOf(workspace, Workspaces.partitions);
    this.#services = services;
    this.workspace = workspace;
    this.subject = subjects.log(Workspaces.name, partition, escapeKey(workspace));
  }

  /**
   * A commit by its version, whose record should be the next one after a sequence. Rejects with `NO_FILE` if history is not
   * there.
   */
  async commit(version: number, at: number): Promise<StoredCommit> {
    const known = this.#known.get(version);
    if (known) return known;
    const record = await this.#after(at);
    const next = record && committedIn(record);
    const commit = next?.version === version ? next : await this.#search(version);
    if (commit === undefined) {
      const text = `Workspace ${this.workspace}: version ${version} is not in the journal.`;
      throw new MeshError("NO_FILE", text);
    }
    this.#known.set(version, commit);
    if (this.#known.size > MAX_KNOWN) {
      for (const oldest of this.#known.keys()) {
        this.#known.delete(oldest);
        break;
      }
    }
    return commit;
  }

  /** The commits that have changed a file, the newest first. */
  async *chain(path: string, now: Side & { readonly at: number }): AsyncGenerator<StoredCommit> {
    for (let side = now; side.version > 0;) {
      // Each one names the one before.
      const commit = await this.commit(side.version, side.at);
      yield commit;
      side = changeIn(commit, path).before;
    }
  }

  /** What stood under a path at a version, given what stands there now. */
  async sideAt(path: string, now: Side & { readonly at: number }, version: number): Promise<Side> {
    let side = now;
    while (side.version > version) {
      // Each one names the one before.
      const commit = await this.commit(side.version, side.at);
      side = changeIn(commit, path).before;
    }
    return side;
  }

  /** All commits back from the one behind `at`. */
  async *commits(at: number, head: number): AsyncGenerator<StoredCommit> {
    for (let [from, version] = [at, head]; version > 0; version--) {
      // Each one names the one before.
      const commit = await this.commit(version, from);
      yield commit;
      from = commit.previous;
    }
  }

  /** Everything recorded from a sequence on, as far as it is there. */
  async *records(from: number): AsyncGenerator<WorkspaceRecord> {
    for (let next = from; ;) {
      // Each batch begins where the one before ended.
      const batch = await this.batch(next);
      yield* batch;
      const last = batch.at(-1);
      if (last === undefined) return;
      next = last.sequence + 1;
    }
  }

  /** Some of the records from a sequence on; none: that was all, as a replica knows it. */
  async batch(from: number): Promise<WorkspaceRecord[]> {
    const { js, journal } = this.#services;
    const found = await this.#asking(() => js.batch(journal, this.subject, from, BATCH), []);
    return found.map(readRecord);
  }

  /** How a conflict was found and, if it is decided, how: an open one may have been found anew since. Undefined: there is none. */
  async conflict(
    id: string,
  ): Promise<{ found: ConflictDetected; resolved?: ConflictResolved } | undefined> {
    const at = conflictAt(id);
    if (at === undefined) return undefined;
    let found: ConflictDetected | undefined;
    for await (const { events } of this.records(at + 1)) {
      for (const [name, data] of events) {
        if (name === "conflict_detected" && (data as ConflictDetected).id === id) {
          found = data as ConflictDetected;
        }
        if (name === "conflict_resolved" && (data as ConflictResolved).id === id) {
          return found && { found, resolved: data as ConflictResolved };
        }
      }
      if (found === undefined) return undefined;
    }
    return found && { found };
  }

  /**
   * Looks for a version in the whole journal: where something was recorded that no commit knows of, as a durable command of
   * somebody's own that has failed, the way to the commit before it is wrong. Versions rise with sequences.
   */
  async #search(version: number): Promise<StoredCommit | undefined> {
    const { js, journal } = this.#services;
    const last = await this.#asking(() => js.last(journal, this.subject), undefined);
    let [low, high] = [0, last?.sequence ?? 0];
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      // Each step halves what is left.
      const found = await this.#firstCommit(middle);
      if (found?.commit.version === version) return found.commit;
      if (found === undefined || found.commit.version > version) high = middle;
      else low = found.sequence;
    }
    return undefined;
  }

  async #firstCommit(
    after: number,
  ): Promise<{ commit: StoredCommit; sequence: number } | undefined> {
    for await (const record of this.records(after + 1)) {
      const commit = committedIn(record);
      if (commit) return { commit, sequence: record.sequence };
    }
    return undefined;
  }

  async #after(at: number): Promise<WorkspaceRecord | undefined> {
    const { js, journal } = this.#services;
    for (let lags = 0; ; lags++) {
      // Again only if who answers is behind.
      const ask = (): Promise<StoredMessage | undefined> => js.next(journal, this.subject, at + 1);
      const found = await this.#asking(ask, undefined);
      if (found || lags >= MAX_LAGS) return found && readRecord(found);
      await sleep(LAG_MS);
    }
  }

  async #asking<T>(ask: () => Promise<T>, nothing: T): Promise<T> {
    return this.#services.surely(async () => {
      try {
        return await ask();
      } catch (error) {
        if (isNoStream(error)) return nothing; // nobody has ever hosted an entity
        throw error;
      }
    });
  }
}

/** The commit of a record, if there is one. */
export function committedIn({ events, storedAt }: WorkspaceRecord): StoredCommit | undefined {
  const event = events.find(([name]) => name === "committed");
  return event && { ...(event[1] as Committed), storedAt };
}

/** What a commit has changed in a file that it is known to have changed. */
export function changeIn({ changes }: StoredCommit, path: string): Committed["changes"][number] {
  return changes.find((change) => change.path === path)!;
}

function readRecord({ sequence, storedAt, data }: StoredMessage): WorkspaceRecord {
  const events = readCommand(data).events.map((event) => {
    return [event[0], Workspaces.types.read(event)] as const; // brought up to what the contract has now
  });
  return { sequence, storedAt, events };
}
