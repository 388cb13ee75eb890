import { applyPatch } from "diff";
import {
  MAX_PATHS,
  MeshError,
  demandPath,
  type Change,
  type Read,
  type Side,
  type Write,
} from "@plexus/core";
import { nameOf } from "./nats/blob-store.ts";
import type { PatienceOptions } from "./patience.ts";
import { unifiedDiff } from "./text-merge.ts";
import {
  NOTHING,
  contentOf,
  treeOf,
  type WorkspaceContent,
  type WorkspaceFile,
} from "./workspace-files.ts";
import { WorkspaceFollower } from "./workspace-follower.ts";
import { committedIn, type StoredCommit, type WorkspaceRecord } from "./workspace-journal.ts";
import type { WorkspaceReader } from "./workspace-reader.ts";

/** A commit of somebody else that touches what a transaction has read or written. */
export interface WorkspaceUpdate {
  readonly version: number;
  readonly commit: StoredCommit;
  readonly changes: readonly {
    readonly path: string;
    readonly role: "read" | "write";
    readonly removed: boolean;
    readonly diff: string;
  }[];
}

/** What the function of a transaction is given: the workspace at one version, and a place for what it writes. */
export interface WorkspaceTransaction {
  /** The version that is read. */
  readonly head: number;
  /** Which run of the function this is, from 1. */
  readonly attempt: number;
  /** Fires when the transaction begins anew or is given up. */
  readonly signal: AbortSignal;
  /** Rejects with `NO_FILE`. What is read must still stand there when the transaction commits; that it is absent, too. */
  read(path: string): Promise<WorkspaceContent>;
  find(path: string): Promise<WorkspaceContent | undefined>;
  /** The files as of `head`. That there are no others is not checked when the transaction commits. */
  list(prefix?: string): Promise<WorkspaceFile[]>;
  write(path: string, content: string | Uint8Array): void;
  /** Changes a text by a unified diff. Rejects with `INVALID_INPUT` if it does not apply. */
  patch(path: string, diff: string): Promise<void>;
  remove(path: string): void;
  /** Commits of others that touch what this transaction has read or written, as they come. */
  readonly updates: AsyncIterable<WorkspaceUpdate>;
  /** Calls `listener` with each of them; returns the function that ends it. */
  onUpdate(listener: (update: WorkspaceUpdate) => void): () => void;
  /** Gives this run up and begins anew, on the newest version. */
  restart(): never;
  /** Takes the newest version of a file as seen; what was written there is kept. Returns it, or undefined if it is gone. */
  adapt(path: string): Promise<WorkspaceContent | undefined>;
}

/** Thrown, and the reason of `signal`, when a run is given up to begin anew. */
export class Restart extends Error {
  override readonly name = "Restart";
}

/** One run of a transaction. */
export class TransactionRun implements WorkspaceTransaction {
  readonly head: number;
  readonly attempt: number;
  readonly #reader: WorkspaceReader;
  readonly #sequence: number;
  readonly #ending = new AbortController();
  /** The version that is seen of each path: `head`, unless it was adapted. */
  readonly #bases = new Map<string, number>();
  readonly #sides = new Map<string, Promise<Side>>();
  readonly #writes = new Map<string, Uint8Array | undefined>();
  readonly #listeners = new Set<(update: WorkspaceUpdate) => void>();
  readonly #news: StoredCommit[] = [];
  #follower: WorkspaceFollower | undefined;
  #failure: Restart | undefined;

  constructor(reader: WorkspaceReader, head: number, sequence: number, attempt: number) {
    this.#reader = reader;
    this.head = head;
    this.#sequence = sequence;
    this.attempt = attempt;
  }

  get signal(): AbortSignal {
    return this.#ending.signal;
  }

  /** Set when the function asked to begin anew. */
  get restarted(): boolean {
    return this.#failure !== undefined;
  }

  async read(path: string): Promise<WorkspaceContent> {
    const found = await this.find(path);
    if (found) return found;
    throw new MeshError("NO_FILE", `There is no ${path} at version ${this.head}.`);
  }

  async find(path: string): Promise<WorkspaceContent | undefined> {
    const name = this.#demand(path);
    const { services } = this.#reader;
    if (!this.#writes.has(name)) return contentOf(services, name, await this.#seen(name));
    const own = this.#writes.get(name);
    if (own === undefined) return undefined;
    const version = this.#bases.get(name) ?? this.head;
    const text = Buffer.from(own).toString();
    return { path: name, version, ...nameOf(own), bytes: own, text };
  }

  async list(prefix?: string): Promise<WorkspaceFile[]> {
    this.#demandGoing();
    const reader = this.#reader;
    const tree = treeOf(reader.services, this.head, {
      side: (path) => reader.sideAt(path, this.head),
      sides: () => reader.sidesAt(this.head),
    });
    return tree.list(prefix);
  }

  write(path: string, content: string | Uint8Array): void {
    const name = this.#demand(path);
    this.#writes.set(name, typeof content === "string" ? Buffer.from(content) : content.slice());
    this.#touch(name);
  }

  async patch(path: string, diff: string): Promise<void> {
    const before = await this.read(path);
    this.write(path, patched(before, diff));
  }

  remove(path: string): void {
    const name = this.#demand(path);
    this.#writes.set(name, undefined);
    this.#touch(name);
  }

  get updates(): AsyncIterable<WorkspaceUpdate> {
    const { signal } = this.#ending;
    const waiting: WorkspaceUpdate[] = [];
    let wake: (() => void) | undefined;
    const stop = this.onUpdate((update) => {
      waiting.push(update);
      wake?.();
    });
    signal.addEventListener("abort", () => wake?.(), { once: true });
    return (async function* updates() {
      try {
        while (!signal.aborted || waiting.length > 0) {
          const next = waiting.shift();
          if (next) yield next;
          else await new Promise<void>((resolve) => (wake = resolve));
        }
      } finally {
        stop();
      }
    })();
  }

  onUpdate(listener: (update: WorkspaceUpdate) => void): () => void {
    this.#demandGoing();
    const { services, journal } = this.#reader;
    this.#listeners.add(listener);
    this.#follower ??= new WorkspaceFollower(services, journal, this.#sequence + 1, (record) =>
      this.#hear(record),
    );
    return () => this.#listeners.delete(listener);
  }

  restart(): never {
    this.#failure ??= new Restart("The transaction begins anew.");
    this.#ending.abort(this.#failure);
    throw this.#failure;
  }

  async adapt(path: string): Promise<WorkspaceContent | undefined> {
    const name = this.#demand(path);
    const { head, files } = await this.#reader.stat([name]);
    const side = files[0] ?? NOTHING;
    this.#bases.set(name, head);
    this.#sides.set(name, Promise.resolve(side));
    return contentOf(this.#reader.services, name, side);
  }

  /** What it has written, each with the version that it has seen, contents stored; and what it has only read. */
  async footprint(options: PatienceOptions): Promise<{ writes: Write[]; reads: Read[] }> {
    if (this.#writes.size > MAX_PATHS) {
      throw new MeshError("INVALID_INPUT", `A commit writes ${MAX_PATHS} paths at most.`);
    }
    const base = (path: string): number => this.#bases.get(path) ?? this.head;
    const { services } = this.#reader;
    const writes = await Promise.all(
      [...this.#writes].map(async ([path, content]): Promise<Write> => {
        const stored = content === undefined ? { size: 0 } : await services.put(content, options);
        return Object.assign(stored, { path, base: base(path) });
      }),
    );
    const reads = [...this.#sides.keys()]
      .filter((path) => !this.#writes.has(path))
      .map((path) => ({ path, base: base(path) }));
    return { writes, reads };
  }

  close(reason: unknown = new MeshError("CANCELED", "The transaction has ended.")): void {
    this.#follower?.close();
    this.#ending.abort(reason);
  }

  #demandGoing(): void {
    if (this.#ending.signal.aborted) throw this.#ending.signal.reason;
  }

  #demand(path: string): string {
    this.#demandGoing();
    return demandPath(path);
  }

  #seen(path: string): Promise<Side> {
    let side = this.#sides.get(path);
    if (side === undefined) {
      side = this.#reader.sideAt(path, this.head);
      this.#sides.set(path, side);
      this.#touch(path);
    }
    return side;
  }

  /** Tells of what has come before this path mattered. */
  #touch(path: string): void {
    for (const commit of this.#news) {
      this.#tell(commit, (change) => change.path === path).catch((error: unknown) =>
        this.#reader.services.runtime.log.warn({ err: error, path }, "an update was not told"),
      );
    }
  }

  #hear(record: WorkspaceRecord): Promise<void> | undefined {
    const commit = committedIn(record);
    if (commit === undefined) return undefined;
    this.#news.push(commit);
    return this.#tell(commit, ({ path }) => this.#writes.has(path) || this.#sides.has(path));
  }

  async #tell(commit: StoredCommit, matters: (change: Change) => boolean): Promise<void> {
    const { services } = this.#reader;
    const unseen = commit.changes.filter(
      (change) => matters(change) && commit.version > (this.#bases.get(change.path) ?? this.head),
    );
    if (unseen.length === 0) return;
    const changes = await Promise.all(
      unseen.map(async ({ path, before, hash, size }) => ({
        path,
        role: this.#writes.has(path) ? ("write" as const) : ("read" as const),
        removed: hash === undefined,
        diff: unifiedDiff(
          path,
          before.hash === undefined
            ? undefined
            : await services.get({ hash: before.hash, size: before.size }),
          hash === undefined ? undefined : await services.get({ hash, size }),
        ),
      })),
    );
    if (this.#ending.signal.aborted) return;
    const update = { version: commit.version, commit, changes };
    for (const listener of this.#listeners) {
      try {
        listener(update);
      } catch (error) {
        if (!(error instanceof Restart)) throw error;
      }
    }
  }
}

/** The text with a unified diff applied. Throws `INVALID_INPUT` if it does not apply. */
export function patched({ path, text, version }: WorkspaceContent, diff: string): string {
  let result: string | false;
  try {
    result = applyPatch(text, diff);
  } catch (cause) {
    throw new MeshError("INVALID_INPUT", `The patch of ${path} is no unified diff.`, { cause });
  }
  if (result !== false) return result;
  throw new MeshError(
    "INVALID_INPUT",
    `The patch does not apply to ${path} at version ${version}.`,
  );
}
