import { MeshError } from "@plexus/core";
import { breakpointsOf, pausedNodes, type BreakpointOptions } from "./breakpoint.ts";
import { onBusy } from "./busy.ts";
import { MemoryCache } from "./cache.ts";
import { Command } from "./command.ts";
import { drawGraph } from "./drawing.ts";
import type { Driver } from "./driver.ts";
import { checkInput, outputOf, route, startView } from "./boundary.ts";
import type { Host } from "./execute.ts";
import { failure } from "./failure.ts";
import type { CompileOptions, InvokeOptions, RunResult } from "./graph-options.ts";
import { History, type StateSnapshot } from "./history.ts";
import { newId } from "./id.ts";
import { Line, untilAborted } from "./line.ts";
import { wakesAt } from "./look.ts";
import { mermaid } from "./mermaid.ts";
import type { Plan } from "./plan.ts";
import { interruptsOf } from "./interrupt.ts";
import type { Breakpoints, RunState } from "./run.ts";
import { Sessions, busy, waitingSignal } from "./session.ts";
import { askedBy, demandRun, goOn, succeeded, takeIn, wasTaken } from "./steer.ts";
import { RunStream, type StreamItem, type StreamMode } from "./stream.ts";
import { isOver } from "./task.ts";
import { checkWrites, publicValues } from "./view.ts";

/** How often, and after which pause, a state is to be changed on which another call has its hand for a moment. */
const MAX_UPDATE_TRIES = 100;
const UPDATE_PAUSE_MS = 20;

/** A graph that can be executed. Made by `StateGraph.compile`. */
export class CompiledGraph<Input = unknown, Output = unknown> {
  readonly plan: Plan;
  readonly #options: CompileOptions;
  readonly #host: Host;
  readonly #sessions: Sessions;
  readonly #history: History;
  /** Enqueued inputs. */
  readonly #line = new Line();

  constructor(plan: Plan, options: CompileOptions) {
    breakpointsOf(plan, options, "INVALID_CONTRACT");
    this.plan = plan;
    this.#options = options;
    const { now = Date.now, random = Math.random, cache = new MemoryCache({ now }) } = options;
    this.#host = { cache, now, random };
    this.#sessions = new Sessions(plan, this.#host, options);
    this.#history = new History(plan, options.checkpointer, now);
  }

  /**
   * Executes the graph until it ends, or waits for an answer or an event. The input begins a new run; a {@link Command} with
   * `resume` answers an interrupt; `null` goes on from a breakpoint, or where a run was left by a process that died, or has failed.
   *
   * Rejects with the error of the node that failed (`details` says what could not be undone), `CANCELED`, `CONFLICT` while another run
   * is under way on the thread, `NO_RUN` when there is nothing to go on with, `GRAPH_CHANGED`, `FENCED`.
   */
  async invoke(
    input: Input | Command | null,
    options: InvokeOptions = {},
  ): Promise<RunResult<Output>> {
    const { thread = newId() } = options;
    return this.#result(thread, await this.#run(thread, input, options));
  }

  /** Like `invoke`, and tells what happens meanwhile. `result` is what `invoke` would have returned. */
  stream<const M extends StreamMode>(
    input: Input | Command | null,
    options: InvokeOptions & { readonly mode: M | readonly M[] },
  ): AsyncIterable<StreamItem<M>> & { readonly result: Promise<RunResult<Output>> } {
    const { thread = newId(), mode } = options;
    const stream = new RunStream<StreamItem<M>>(typeof mode === "string" ? [mode] : mode);
    const result = this.#run(thread, input, { ...options, listener: stream }).then((run) =>
      this.#result(thread, run),
    );
    result.then(
      () => stream.end(),
      (error: unknown) => stream.end({ error }),
    );
    return Object.assign(stream, { result });
  }

  /**
   * Tells a run of an event that its nodes wait for (`ctx.waitFor`), and executes what follows. Kept for the next of its nodes that waits
   * for it if none does. Rejects with `OVERLOADED` when 1,000 of that name are kept already, `NO_RUN` when no run is under way.
   */
  async signal(
    thread: string,
    event: string,
    value: unknown,
    options: Omit<InvokeOptions, "thread"> = {},
  ): Promise<RunResult<Output>> {
    const run = await this.#sessions.run(thread, options, (driver) => {
      takeIn(driver, options, () => {
        if (wasTaken(driver, options.id)) return;
        if (isOver(driver.run)) {
          throw new MeshError("NO_RUN", `On thread ${thread} no run is under way.`);
        }
        const { id } = options;
        const signal = {
          type: "signal",
          name: event,
          value: value ?? null,
          ...(id && { id }),
        } as const;
        if (!driver.take(signal)) {
          throw new MeshError("OVERLOADED", `Thread ${thread} has not read its events ${event}.`);
        }
      });
      return undefined;
    });
    return this.#result(thread, run);
  }

  /**
   * Cancels a run that waits, or that this process executes, and compensates it. Resolves when that is done; false if nothing was under
   * way, or not the `run` that is named.
   */
  async cancel(
    thread: string,
    reason = "The run was canceled.",
    { id, run }: Pick<InvokeOptions, "id"> & { readonly run?: string } = {},
  ): Promise<boolean> {
    let canceled = false;
    await this.#sessions.run(thread, {}, (driver) => {
      if (run !== undefined && driver.run.run !== run) return "leave";
      canceled = wasTaken(driver, id) || driver.take({ type: "cancel", reason, ...(id && { id }) });
      return undefined;
    });
    return canceled;
  }

  /**
   * Goes on with what is under way on a thread, if anything is; begins nothing, and repeats nothing that has failed. Resolves as `invoke`
   * does. Rejects with `CONFLICT` if another run than `id` is the last one, `NO_RUN` if there was none.
   */
  async resume(
    thread: string,
    { id, listener }: Pick<InvokeOptions, "id" | "listener"> = {},
  ): Promise<RunResult<Output>> {
    const run = await this.#sessions.run(thread, {}, (driver) => {
      if (driver.run.run === "") {
        throw new MeshError("NO_RUN", `On thread ${thread} there has been no run.`);
      }
      if (id !== undefined && driver.run.run !== id) throw succeeded(thread, id);
      if (listener) driver.listen(listener);
      return undefined;
    });
    return this.#result(thread, run);
  }

  /** Ends the execution of these threads here, for this reason: another process goes on with them. Resolves when that is done. */
  leave(threads: readonly string[], reason: Error): Promise<void> {
    return this.#sessions.leave(threads, reason);
  }

  /** The same graph with other options. */
  with(options: CompileOptions): CompiledGraph<Input, Output> {
    return new CompiledGraph(this.plan, { ...this.#options, ...options });
  }

  /** The state of a thread, now or at a checkpoint of {@link getStateHistory}. Rejects with `NO_RUN` for an unknown one. */
  getState(thread: string, options: { readonly checkpoint?: number } = {}): Promise<StateSnapshot> {
    return this.#history.state(thread, options.checkpoint);
  }

  /** All checkpoints of a thread, newest first: one for each complete step, and one for each time the run has come to rest. */
  getStateHistory(thread: string): Promise<StateSnapshot[]> {
    return this.#history.checkpoints(thread);
  }

  /** Changes the state of a thread at rest from outside, as a node's update would. Rejects with `INVALID_INPUT`, `CONFLICT`. */
  async updateState(
    thread: string,
    update: Partial<Input>,
    options: Pick<InvokeOptions, "id"> = {},
  ): Promise<void> {
    const writes = checkWrites(this.plan, "The update", update, undefined, "INVALID_INPUT");
    const { id } = options;
    for (let tries = 0; ; tries++) {
      let updated = false;
      // Another call may have the thread for a moment.
      await this.#sessions.run(thread, {}, (driver, fresh) => {
        const executes = !isOver(driver.run) && driver.run.status !== "waiting";
        if (executes || (!fresh && tries >= MAX_UPDATE_TRIES)) throw busy(thread);
        if (!fresh) return "leave";
        if (!wasTaken(driver, id)) driver.take({ type: "update", writes, ...(id && { id }) });
        updated = true;
        return "record";
      });
      if (updated) return;
      await new Promise((resolve) => setTimeout(resolve, UPDATE_PAUSE_MS));
    }
  }

  /**
   * Begins a new thread with the state that another one had at a checkpoint. `invoke(null, { thread })` goes on from there, executing
   * anew what had not been finished then.
   */
  fork(
    thread: string,
    options: { readonly checkpoint?: number; readonly to?: string } = {},
  ): Promise<string> {
    return this.#history.fork(thread, options.checkpoint, options.to ?? newId());
  }

  /** What the stream of a thread's runs has told, read from what is recorded; no node is executed. Without `custom` and `tokens`. */
  replay<const M extends Exclude<StreamMode, "custom" | "tokens">>(
    thread: string,
    options: { readonly mode: M | readonly M[]; readonly upTo?: number },
  ): AsyncIterable<StreamItem<M>> {
    const { mode, upTo } = options;
    return this.#history.replay(thread, typeof mode === "string" ? [mode] : mode, upTo);
  }

  /** The graph as a Mermaid flowchart. */
  mermaid(): string {
    return mermaid(this.plan);
  }

  /** The graph for a terminal, as a tree of who follows whom. */
  draw(): string {
    return drawGraph(this.plan);
  }

  async #run(
    thread: string,
    input: Input | Command | null,
    options: InvokeOptions,
  ): Promise<RunState> {
    if (input === null || input instanceof Command) {
      return this.#sessions.run(thread, options, (driver) => {
        takeIn(driver, options, () => {
          if (!wasTaken(driver, options.id)) this.#steer(driver, input, thread, options);
        });
        return undefined;
      });
    }
    const leave =
      options.busy === "enqueue"
        ? await this.#line.enter(thread, waitingSignal(options))
        : undefined;
    try {
      return await this.#whenFree(thread, input, options, () => leave?.());
    } finally {
      leave?.();
    }
  }

  /** Tells a run something, or nothing at all if that cannot be. */
  #steer(
    driver: Driver,
    input: Input | Command | null,
    thread: string,
    options: InvokeOptions,
  ): void {
    const at = breakpointsOf(this.plan, options, "INVALID_INPUT");
    const command = input instanceof Command ? input : undefined;
    const asked = command && askedBy(driver, command, thread);
    if (command === undefined) demandRun(driver, thread);
    if (at !== undefined) driver.take({ type: "breakpoints", at });
    const { id } = options;
    if (asked === undefined) goOn(driver, thread, id);
    else driver.take({ type: "answer", task: asked, value: command?.resume, ...(id && { id }) });
  }

  /** Begins a run when the thread's last one is over, or has been ended by the policy. */
  async #whenFree(
    thread: string,
    input: Input,
    options: InvokeOptions,
    begins: () => void,
  ): Promise<RunState> {
    const { busy: policy = "reject", id } = options;
    const signal = waitingSignal(options);
    for (let undone: string | undefined; ;) {
      let done = false;
      let starting: Promise<unknown> | undefined;
      // Until it is this input's turn.
      const run = await this.#sessions.run(thread, { ...options, undone }, (driver) => {
        if (id !== undefined && driver.run.run === id) {
          done = true;
          takeIn(driver, options, begins);
          return undefined;
        }
        if (wasTaken(driver, id)) {
          throw succeeded(thread, id!);
        }
        ({ starting } = driver);
        const decision = onBusy(policy, starting ? "running" : driver.run.status);
        if (decision === "refuse") throw busy(thread);
        if (starting !== undefined) return "leave"; // it decides anew when that has begun
        if (decision === "begin") {
          const { run: last, rollsBack } = driver.run;
          if (rollsBack && undone !== last) {
            undone = last; // whoever has canceled it has not come to begin another one
            return undefined;
          }
          done = true;
          return this.#start(driver, input, thread, options, begins);
        }
        const reason = "A newer input has taken the run's place.";
        if (decision === "end") driver.take({ type: "cancel", reason, keep: true });
        if (decision === "undo") driver.take({ type: "cancel", reason, rollback: true });
        if (decision === "undo") undone = driver.run.run;
        return decision === "wait" ? "leave" : undefined;
      });
      if (done) return run;
      if (starting !== undefined) await untilAborted(settled(starting), signal);
      else if (!isOver(run)) await this.#sessions.ended(thread, signal);
    }
  }

  #start(
    driver: Driver,
    input: Input,
    thread: string,
    options: InvokeOptions,
    begins: () => void,
  ): undefined | Promise<undefined> {
    const { plan } = this;
    const { id: run = newId() } = options;
    const signal = waitingSignal(options) ?? new AbortController().signal;
    const breakpoints = this.#breakpoints(options);
    const writes = checkInput(plan, input);
    const context = { thread, run, step: 0, visits: 0, signal };
    const begin = (goto: Awaited<ReturnType<typeof route>>): undefined => {
      signal.throwIfAborted();
      const start = {
        type: "start",
        run,
        writes,
        goto,
        ...(breakpoints && { breakpoints }),
      } as const;
      takeIn(driver, options, () => {
        if (!driver.take(start)) throw busy(thread);
        begins();
      });
    };
    const goto = route(
      plan.start,
      "START",
      () => startView(plan, driver.run.values, writes),
      context,
    );
    if (!(goto instanceof Promise)) return begin(goto);
    const started = goto.then(begin).finally(() => {
      driver.starting = undefined;
    });
    driver.starting = started;
    return started;
  }

  /** The call's, and the graph's in place of what the call does not say. */
  #breakpoints({ interruptBefore, interruptAfter }: BreakpointOptions): Breakpoints | undefined {
    const own = this.#options;
    const before = interruptBefore ?? own.interruptBefore;
    const after = interruptAfter ?? own.interruptAfter;
    const all = {
      ...(before && { interruptBefore: before }),
      ...(after && { interruptAfter: after }),
    };
    return breakpointsOf(this.plan, all, "INVALID_INPUT");
  }

  #result(thread: string, run: RunState): RunResult<Output> {
    if (run.status === "failed" || run.status === "canceled") throw failure(thread, run);
    // What is being undone comes to rest only if that waits, too.
    const waiting = run.status === "waiting" || run.status === "compensating";
    const paused = pausedNodes(run);
    if (waiting && this.#options.checkpointer === undefined) {
      throw new MeshError(
        "INVALID_CONTRACT",
        `Graph ${this.plan.name} waits, and has no checkpointer to wait with: compile it with one.`,
      );
    }
    return {
      thread,
      run: run.run,
      status: waiting ? "waiting" : "completed",
      output: (waiting || run.status === "idle"
        ? publicValues(this.plan, run.values)
        : outputOf(this.plan, run.values)) as Output,
      interrupts: waiting ? interruptsOf(run) : [],
      ...(paused.length > 0 ? { paused } : {}),
      ...(waiting && wakesAt(run) < Infinity ? { until: wakesAt(run) } : {}),
    };
  }
}

/** Resolves when it has settled, however. */
async function settled(promise: Promise<unknown>): Promise<void> {
  await promise.catch(() => undefined);
}
