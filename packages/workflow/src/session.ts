import { MeshError } from "@plexus/core";
import type { OwnedThread, StoredThread } from "./checkpointer.ts";
import type { CompileOptions, InvokeOptions } from "./compiled-graph.ts";
import { Driver, type Listener } from "./driver.ts";
import type { Host } from "./execute.ts";
import { adapt } from "./migration.ts";
import type { Plan } from "./plan.ts";
import { emptyRun, type RunState } from "./run.ts";
import { RunLog, type DurabilityMode } from "./run-log.ts";
import { initialValues } from "./schedule.ts";
import { graphEvent, readThread } from "./thread.ts";

interface Session {
  readonly driver: Driver;
  readonly ended: Promise<void>;
}

/** How a call begins: by the events it gives the driver. `fresh`: the thread was not being executed here already. */
type Begin = (driver: Driver, fresh: boolean) => void | Promise<void>;

/** What a run is executed with. */
interface Ground {
  readonly thread: string;
  readonly run: RunState;
  /** Absent without a checkpointer. */
  readonly kept?: { readonly log: RunLog; readonly owned: OwnedThread };
}

/** The runs that this process executes: one at a time on each thread. */
export class Sessions {
  readonly #plan: Plan;
  readonly #host: Host;
  readonly #options: CompileOptions;
  readonly #open = new Map<string, Session>();

  constructor(plan: Plan, host: Host, options: CompileOptions) {
    this.#plan = plan;
    this.#host = host;
    this.#options = options;
  }

  /** Takes the thread, lets `begin` say what happens, and executes what follows until the run is at rest. Returns its state. */
  async run(
    thread: string,
    options: InvokeOptions,
    listeners: readonly Listener[],
    begin: Begin,
  ): Promise<RunState> {
    options.signal?.throwIfAborted();
    for (let open = this.#open.get(thread); open !== undefined; open = this.#open.get(thread)) {
      if (open.driver.active) return joinRun(open.driver, options.signal, listeners, begin);
      // oxlint-disable-next-line no-await-in-loop -- it is giving the thread back
      await open.ended;
    }
    const ground = await this.#take(thread, options);
    return this.#drive(ground, options.signal, listeners, begin);
  }

  async #take(thread: string, { signal, durability = "async" }: InvokeOptions): Promise<Ground> {
    const { checkpointer } = this.#options;
    if (checkpointer === undefined) return { thread, run: emptyRun(initialValues(this.#plan)) };
    const owned = await checkpointer.own(thread, signal ? { signal } : {});
    try {
      return { thread, ...this.#load(owned, await checkpointer.read(thread), durability) };
    } catch (error) {
      await owned[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The state to go on with. A graph that the thread does not know yet is recorded before the first event under it. */
  #load(
    owned: OwnedThread,
    stored: StoredThread,
    durability: DurabilityMode,
  ): Pick<Ground, "run" | "kept"> {
    const plan = this.#plan;
    const { graph, run } = readThread(plan, stored);
    const known = graph?.hash === plan.hash && graph.version === plan.version;
    const { migrations = [] } = this.#options;
    const adapted = known || !graph ? undefined : adapt(run, graph, plan, migrations);
    const preface = known ? undefined : graphEvent(plan, adapted);
    const log = new RunLog(owned, durability, () => this.#host.now(), preface);
    return { run: adapted ?? run, kept: { log, owned } };
  }

  async #drive(
    { thread, run, kept }: Ground,
    signal: AbortSignal | undefined,
    listeners: readonly Listener[],
    begin: Begin,
  ): Promise<RunState> {
    const driver = new Driver(this.#plan, run, { thread, host: this.#host, log: kept?.log });
    for (const listener of listeners) driver.listen(listener);
    const ended = Promise.withResolvers<void>();
    this.#open.set(thread, { driver, ended: ended.promise });
    const cancel = (): void => cancelRun(driver);
    const lost = (): void => driver.stop(kept?.owned.signal.reason);
    signal?.addEventListener("abort", cancel, { once: true });
    kept?.owned.signal.addEventListener("abort", lost, { once: true });
    try {
      const begun = begin(driver, true);
      if (begun !== undefined) await begun;
      if (signal?.aborted === true) cancel();
      driver.resume();
      await driver.rest();
      return driver.run;
    } catch (error) {
      driver.stop(error);
      throw error;
    } finally {
      signal?.removeEventListener("abort", cancel);
      kept?.owned.signal.removeEventListener("abort", lost);
      await kept?.owned[Symbol.asyncDispose]();
      this.#open.delete(thread);
      ended.resolve();
    }
  }
}

/** The thread is being executed here: what has come is taken in there. */
async function joinRun(
  driver: Driver,
  signal: AbortSignal | undefined,
  listeners: readonly Listener[],
  begin: Begin,
): Promise<RunState> {
  await begin(driver, false);
  for (const listener of listeners) driver.listen(listener);
  const cancel = (): void => cancelRun(driver);
  signal?.addEventListener("abort", cancel, { once: true });
  try {
    await driver.rest();
    return driver.run;
  } finally {
    signal?.removeEventListener("abort", cancel);
  }
}

function cancelRun(driver: Driver): void {
  driver.take({ type: "cancel", reason: "The caller gave up." });
}

/** A call on a thread that is being executed and takes no second one. */
export function busy(thread: string): MeshError {
  return new MeshError("CONFLICT", `A run is under way on thread ${thread}.`);
}
