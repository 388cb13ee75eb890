import { isDeepStrictEqual } from "node:util";
import { MeshError, type WireError, type Checkpointer, type StoredThread } from "@plexus/core";
import { pausedNodes } from "./breakpoint.ts";
import type { Effect, RunEvent } from "./event.ts";
import { interruptsOf, pendingWaits, type Interrupt, type PendingWait } from "./interrupt.ts";
import type { Plan } from "./plan.ts";
import { decodeEvents, decodeSnapshot, encodeSnapshot } from "./record.ts";
import type { RunState, RunStatus } from "./run.ts";
import { skeletonOf } from "./skeleton.ts";
import { itemsOf, type StreamItem, type StreamMode } from "./stream.ts";
import { isOver } from "./task.ts";
import { ThreadReader, readThread } from "./thread.ts";
import { publicValues } from "./view.ts";

/** Checkpoints that an error names. */
const NAMED = 12;

/** A thread's state at a checkpoint. */
export interface StateSnapshot {
  readonly thread: string;
  /** Names the checkpoint within its thread; rises. */
  readonly checkpoint: number;
  /** When it was recorded, in ms since the epoch. */
  readonly at: number;
  readonly run: string;
  readonly status: RunStatus;
  /** Steps of the run. */
  readonly step: number;
  readonly values: Readonly<Record<string, unknown>>;
  /** Nodes that are being executed, or are due. */
  readonly next: readonly string[];
  readonly interrupts: readonly Interrupt[];
  readonly waits: readonly PendingWait[];
  /** Nodes that a breakpoint keeps back until `invoke(null)`, if the run is at one. */
  readonly paused?: readonly string[];
  readonly error?: WireError;
}

/** A channel that differs between two states. */
export interface StateDifference {
  readonly channel: string;
  readonly before: unknown;
  readonly after: unknown;
}

/** What has changed between two states, by channel. */
export function diffStates(
  before: Pick<StateSnapshot, "values">,
  after: Pick<StateSnapshot, "values">,
): StateDifference[] {
  const channels = new Set([...Object.keys(before.values), ...Object.keys(after.values)]);
  return [...channels]
    .map((channel) => ({
      channel,
      before: before.values[channel],
      after: after.values[channel],
    }))
    .filter((one) => !isDeepStrictEqual(one.before, one.after));
}

/** Reads what is recorded of threads. */
export class History {
  readonly #plan: Plan;
  readonly #checkpointer: Checkpointer | undefined;
  readonly #now: () => number;

  constructor(plan: Plan, checkpointer: Checkpointer | undefined, now: () => number) {
    this.#plan = plan;
    this.#checkpointer = checkpointer;
    this.#now = now;
  }

  async state(thread: string, upTo?: number): Promise<StateSnapshot> {
    return snapshotOf(thread, await this.#read(thread, upTo));
  }

  async checkpoints(thread: string): Promise<StateSnapshot[]> {
    const found: StateSnapshot[] = [];
    for await (const { effects, reader } of this.#events(thread)) {
      if (effects.some(({ type }) => type === "step" || type === "rest")) {
        found.push(snapshotOf(thread, reader));
      }
    }
    return found.toReversed();
  }

  async fork(thread: string, upTo: number | undefined, to: string): Promise<string> {
    const { run, plan } = await this.#read(thread, upTo);
    const graph = skeletonOf(plan);
    if (await this.#isThere(to, run)) return to; // before whoever executes it is disturbed
    await using owned = await this.#kept.own(to);
    if (await this.#isThere(to, run)) return to;
    const { maxPartBytes } = this.#kept;
    await owned.snapshot(0, encodeSnapshot({ at: this.#now(), graph, run }, maxPartBytes));
    return to;
  }

  /** Whether that very fork has been made: what is left of an owner that died before it answered. Throws `CONFLICT` for any other thread. */
  async #isThere(thread: string, run: RunState): Promise<boolean> {
    const { snapshot, records } = await this.#kept.read(thread);
    if (snapshot === undefined && records.length === 0) return false;
    const same = snapshot && isDeepStrictEqual(decodeSnapshot(snapshot.parts).run, run);
    if (same && records.length === 0 && snapshot.position === 0) return true;
    throw new MeshError("CONFLICT", `There is a thread ${thread} already.`);
  }

  async *replay<M extends StreamMode>(
    thread: string,
    modes: readonly M[],
    upTo?: number,
  ): AsyncGenerator<StreamItem<M>> {
    const wanted: ReadonlySet<StreamMode> = new Set(modes);
    for await (const { event, effects, reader } of this.#events(thread, upTo)) {
      yield* itemsOf(wanted, event, effects, reader) as StreamItem<M>[];
    }
  }

  async *#events(
    thread: string,
    upTo = Infinity,
  ): AsyncGenerator<{ event: RunEvent; effects: readonly Effect[]; reader: ThreadReader }> {
    const stored = await this.#kept.read(thread, { whole: true, upTo });
    this.#mustExist(thread, stored);
    const reader = new ThreadReader(this.#plan, stored.snapshot);
    for (const recorded of decodeEvents(stored.records)) {
      const effects = reader.apply(recorded);
      const { event } = recorded;
      if (event.type !== "graph") yield { event, effects, reader };
    }
  }

  async #read(thread: string, checkpoint?: number): Promise<ThreadReader> {
    const isPosition =
      checkpoint === undefined || (Number.isSafeInteger(checkpoint) && checkpoint >= 0);
    const upTo = isPosition ? (checkpoint ?? Infinity) : Infinity;
    const stored = await this.#kept.read(thread, { upTo });
    if (checkpoint === undefined) this.#mustExist(thread, stored);
    const reader = readThread(this.#plan, stored);
    const isThere = stored.snapshot !== undefined || stored.records.length > 0;
    // Not between the parts of a large record either.
    if (checkpoint === undefined || (isThere && reader.position === checkpoint)) return reader;
    const found = (await this.checkpoints(thread)).map((one) => one.checkpoint);
    // A fork of which nothing is recorded has its beginning.
    const there = found.length > 0 ? found : [(await this.#read(thread)).position];
    throw noCheckpoint(thread, checkpoint, there);
  }

  #mustExist(thread: string, { snapshot, records }: StoredThread): void {
    if (snapshot !== undefined || records.length > 0) return;
    throw new MeshError("NO_RUN", `Nothing is recorded of thread ${thread}.`);
  }

  get #kept(): Checkpointer {
    if (this.#checkpointer !== undefined) return this.#checkpointer;
    throw new MeshError(
      "INVALID_CONTRACT",
      `Graph ${this.#plan.name} has no checkpointer, so nothing is recorded: compile it with one.`,
    );
  }
}

/** Of those that are there, newest first, as many are named as one may want to choose from. */
function noCheckpoint(thread: string, checkpoint: number, there: readonly number[]): MeshError {
  const older = there.length > NAMED ? ", and older ones" : "";
  const text = `Thread ${thread} has no checkpoint ${checkpoint}. There are: ${there.slice(0, NAMED).join(", ")}${older}.`;
  return new MeshError("INVALID_INPUT", text);
}

function snapshotOf(thread: string, { plan, run, position, at }: ThreadReader): StateSnapshot {
  const { status, step, error, tasks } = run;
  const paused = pausedNodes(run);
  const open = isOver(run) ? [] : tasks.filter(({ state }) => state.is !== "done");
  return {
    thread,
    checkpoint: position,
    at,
    run: run.run,
    status,
    step,
    values: publicValues(plan, run.values),
    next: [...open.map(({ node }) => node), ...(isOver(run) ? [] : run.deferred)],
    interrupts: interruptsOf(run),
    waits: pendingWaits(run),
    ...(paused.length > 0 ? { paused } : {}),
    ...(error === undefined ? {} : { error }),
  };
}
