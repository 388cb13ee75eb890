import { setTimeout as sleep } from "node:timers/promises";
import { MeshError, backoffMs, isMeshError, type Write } from "@plexus/core";
import { Patience } from "./patience.ts";
import { newId } from "./runtime.ts";
import type { CommitOptions, CommitResult, WorkspaceCommitter } from "./workspace-committer.ts";
import type { WorkspaceReader } from "./workspace-reader.ts";
import { Restart, TransactionRun, type WorkspaceTransaction } from "./workspace-transaction.ts";

/** Options of {@link Workspace.transact}. */
export interface TransactOptions extends CommitOptions {
  /** Runs of the function, of which all but the last may end in a conflict. Default 1; 10 with `retry`. */
  readonly attempts?: number;
  /** Run the function again, on the newest version, when its commit is refused. */
  readonly retry?: boolean;
}

const RETRY_BACKOFF = { firstMs: 20, maxMs: 1_000, factor: 2 };
const ATTEMPTS = 10;

/** Runs the function of a transaction until its commit is made, or its attempts are used up. */
export async function runTransaction<T>(
  reader: WorkspaceReader,
  committer: WorkspaceCommitter,
  options: TransactOptions,
  run: (context: WorkspaceTransaction) => T | Promise<T>,
  seen: (path: string, version: number) => void,
): Promise<CommitResult & { readonly value: T }> {
  const { id = newId(), retry = false, attempts = retry ? ATTEMPTS : 1, signal } = options;
  for (let attempt = 1; ; attempt++) {
    if (signal?.aborted) throw givenUp(signal);
    const own = { ...options, id: attempt === 1 ? id : `${id}.${attempt}` };
    try {
      // Again only after a conflict.
      return await runOnce(reader, committer, own, run, attempt, seen);
    } catch (error) {
      const refused = error instanceof Refused;
      if (!refused && !(error instanceof Restart)) throw error;
      if (attempt >= attempts && refused) throw error.cause;
      if (refused) await sleep(backoffMs(RETRY_BACKOFF, attempt, Math.random));
    }
  }
}

async function runOnce<T>(
  reader: WorkspaceReader,
  committer: WorkspaceCommitter,
  options: TransactOptions & { readonly id: string },
  run: (context: WorkspaceTransaction) => T | Promise<T>,
  attempt: number,
  seen: (path: string, version: number) => void,
): Promise<CommitResult & { readonly value: T }> {
  const { head, sequence } = await begin(reader, options);
  const context = new TransactionRun(reader, head, sequence, attempt);
  const { signal } = options;
  const giveUp = (): void => context.close(signal && givenUp(signal));
  signal?.addEventListener("abort", giveUp, { once: true });
  try {
    const { promise: given, reject } = Promise.withResolvers<never>();
    context.signal.addEventListener("abort", () => reject(context.signal.reason), { once: true });
    given.catch(() => undefined);
    const value = await Promise.race([(async () => run(context))(), given]);
    const footprint = await context.footprint(options);
    if (footprint.writes.length === 0) {
      return { commit: options.id, version: head, conflicts: [], value };
    }
    try {
      const [{ path: first }] = footprint.writes as [Write];
      const more = footprint.writes.length - 1;
      const message = more === 0 ? `write ${first}` : `write ${first} and ${more} more`;
      const result = await committer.commit(footprint, options, message);
      for (const { path } of footprint.writes) seen(path, result.version);
      return { ...result, value };
    } catch (error) {
      throw isMeshError(error, "CONFLICT") ? new Refused(error) : error;
    }
  } finally {
    signal?.removeEventListener("abort", giveUp);
    context.close();
  }
}

/** The version that a run begins with. */
async function begin(reader: WorkspaceReader, options: TransactOptions) {
  using patience = new Patience("A transaction", options);
  return await patience.for(reader.stat([]));
}

function givenUp({ reason }: AbortSignal): MeshError {
  if (isMeshError(reason)) return reason;
  return new MeshError("CANCELED", "The transaction was given up.", { cause: reason });
}

/** The commit of a transaction was refused: it may run again. */
class Refused extends Error {
  override readonly cause: MeshError;

  constructor(cause: MeshError) {
    super(cause.message);
    this.cause = cause;
  }
}
