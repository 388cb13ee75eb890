import { MeshError, type OwnedThread } from "@plexus/core";
import type { CompileOptions, InvokeOptions } from "./graph-options.ts";
import { Driver } from "./driver.ts";
import type { ThreadEvent } from "./event.ts";
import type { Host } from "./execute.ts";
import { untilAborted } from "./line.ts";
import { adapt } from "./migration.ts";
import type { Plan } from "./plan.ts";
import { emptyRun, type RunState } from "./run.ts";
import { RunLog } from "./run-log.ts";
import { initialValues } from "./schedule.ts";
import { isOver } from "./task.ts";
import { graphEvent, readBefore, readThread, type ThreadReader } from "./thread.ts";

/** How long what is executed in a thread may go on when another process is to own it. */
const GRACE_MS = 10_000;

interface Session {
  readonly driver: Driver;
  readonly ended: Promise<void>;
}

/**
 * How a call begins: by what it gives the driver. `fresh`: the thread was not being executed here already. It returns "leave" if it does
 * not care how a run goes on that is executed here already, and "record" if nothing is to be executed.
 */
type Begin = (
  driver: Driver,
  fresh: boolean,
) => "leave" | "record" | undefined | Promise<undefined>;

interface SessionOptions extends InvokeOptions {
  readonly undone?: string | undefined;
}

/** What a run is executed with. */
interface Ground {
  readonly thread: string;
  readonly run: RunState;
  /** Absent without a checkpointer. */
  readonly kept?: { readonly log: RunLog; readonly owned: OwnedThread; readonly wakes: boolean };
}

/** The runs that this process executes: one at a time on each thread. */
export class Sessions {
  readonly #plan: Plan;
  readonly #host: Host;
  readonly #options: CompileOptions;
  readonly #open = new Map<string, Session>();
  /** Threads that are being taken. */
  readonly #taking = new Map<string, Promise<void>>();
  readonly #watching = new Map<string, PromiseWithResolvers<void>>();

  constructor(plan: Plan, host: Host, options: CompileOptions) {
    this.#plan = plan;
    this.#host = host;
    this.#options = options;
  }

  /**
   * Takes the thread, lets `begin` say what happens, and executes what follows until the run is at rest. Returns its state. If the
   * last run is the one that is called `undone`, the state is first what it was before that.
   */
  async run(thread: string, options: SessionOptions, begin: Begin): Promise<RunState> {
    const signal = waitingSignal(options);
    for (;;) {
      signal?.throwIfAborted();
      const open = this.#open.get(thread);
      if (open?.driver.active === true) return joinRun(open.driver, begin);
      const passing = open?.ended ?? this.#taking.get(thread);
      if (passing === undefined) break;
      // It is being taken, or given back.
      await passing;
    }
    const taken = Promise.withResolvers<void>();
    this.#taking.set(thread, taken.promise);
    try {
      const ground = await this.#take(thread, options);
      const driven = this.#drive(ground, begin);
      this.#taking.delete(thread);
      taken.resolve();
      const state = await driven;
      if (isOver(state)) this.#tell(thread);
      return state;
    } catch (error) {
      this.#tell(thread); // whoever waits meets the same error, or its cure
      throw error;
    } finally {
      this.#taking.delete(thread);
      taken.resolve();
    }
  }

  #tell(thread: string): void {
    this.#watching.get(thread)?.resolve();
    this.#watching.delete(thread);
  }

  /** Ends the execution of these threads here, as another process is to go on with them. Resolves when that is done. */
  async leave(threads: readonly string[], reason: unknown): Promise<void> {
    await Promise.all(threads.map((thread) => this.#leave(thread, reason)));
  }

  async #leave(thread: string, reason: unknown): Promise<void> {
    await this.#taking.get(thread);
    const open = this.#open.get(thread);
    open?.driver.leave(reason, GRACE_MS);
    await open?.ended;
  }

  /** Resolves when the run on the thread has ended in this process. */
  async ended(thread: string, signal: AbortSignal | undefined): Promise<void> {
    const change = this.#watching.get(thread) ?? Promise.withResolvers<void>();
    this.#watching.set(thread, change);
    await untilAborted(change.promise, signal);
  }

  async #take(thread: string, options: SessionOptions): Promise<Ground> {
    const { signal, durability = "async", undone } = options;
    const { checkpointer } = this.#options;
    if (checkpointer === undefined) return { thread, run: emptyRun(initialValues(this.#plan)) };
    const owned = await checkpointer.own(thread, signal ? { signal } : {});
    try {
      const stored = await checkpointer.read(thread);
      const before = undone && (await readBefore(this.#plan, checkpointer, thread, undone));
      const reader = before || readThread(this.#plan, stored);
      const { run, preface } = this.#goOnWith(reader, reader === before);
      const now = (): number => this.#host.now();
      const { maxPartBytes } = checkpointer;
      const log = new RunLog(owned, { mode: durability, now, preface, stored, maxPartBytes });
      return { thread, run, kept: { log, owned, wakes: checkpointer.wakes ?? false } };
    } catch (error) {
      await owned[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The state to go on with; and what is not known of the thread yet, and recorded before the first event that builds on it. */
  #goOnWith(
    { graph, run }: ThreadReader,
    restored: boolean,
  ): { readonly run: RunState; readonly preface: ThreadEvent | undefined } {
    const plan = this.#plan;
    const known = graph?.hash === plan.hash && graph.version === plan.version;
    if (known && !restored) return { run, preface: undefined };
    const { migrations = [] } = this.#options;
    const adapted = known || !graph ? undefined : adapt(run, graph, plan, migrations);
    const changed = adapted ?? (restored ? run : undefined);
    return { run: changed ?? run, preface: graphEvent(plan, changed) };
  }

  async #drive({ thread, run, kept }: Ground, begin: Begin): Promise<RunState> {
    const { log, wakes = false } = kept ?? {};
    const driver = new Driver(this.#plan, run, { thread, host: this.#host, log, wakes });
    const ended = Promise.withResolvers<void>();
    this.#open.set(thread, { driver, ended: ended.promise });
    const lost = (): void => driver.stop(kept?.owned.signal.reason);
    kept?.owned.signal.addEventListener("abort", lost, { once: true });
    try {
      const begun = begin(driver, true);
      if (begun === "record") {
        await kept?.log.stored();
        driver.stop(new MeshError("CANCELED", "Nothing is to be executed."));
        return driver.run;
      }
      if (begun instanceof Promise) await Promise.race([begun, driver.rest()]);
      // Recorded before it is executed, as it may end this process as well; calls that execute nothing do not count.
      if (log !== undefined && driver.takesOver && driver.take({ type: "takeover" })) {
        await log.stored();
      }
      driver.resume();
      await driver.rest();
      return driver.run;
    } catch (error) {
      driver.stop(error);
      throw error;
    } finally {
      kept?.owned.signal.removeEventListener("abort", lost);
      await log?.close();
      await kept?.owned[Symbol.asyncDispose]();
      this.#open.delete(thread);
      ended.resolve();
    }
  }
}

/** The thread is being executed here: what has come is taken in there. */
async function joinRun(driver: Driver, begin: Begin): Promise<RunState> {
  if ((await begin(driver, false)) !== "leave") await driver.rest();
  return driver.run;
}

/** What ends a call's waiting, for whatever reason. */
export function waitingSignal({
  signal,
  detach,
}: Pick<InvokeOptions, "signal" | "detach">): AbortSignal | undefined {
  return signal && detach ? AbortSignal.any([signal, detach]) : (signal ?? detach);
}

/** A call on a thread that is being executed and takes no second one. */
export function busy(thread: string): MeshError {
  return new MeshError("CONFLICT", `A run is under way on thread ${thread}.`);
}
