import { MeshError, isMeshError, toMeshError, type WireError } from "@plexus/core";
import { Board } from "./board.ts";
import { pausesAt } from "./breakpoint.ts";
import type { Effect, RunEvent } from "./event.ts";
import { outstanding, ownTask } from "./look.ts";
import { keepMail, takeMail } from "./mailbox.ts";
import { contributionsOf, mergeStep } from "./merge.ts";
import type { Plan } from "./plan.ts";
import {
  emptyRun,
  noteTaken,
  renewRun,
  type RunState,
  type Target,
  type Task,
  type TaskResult,
} from "./run.ts";
import { countOf, initialValues, nextTargets, tasksOf } from "./schedule.ts";
import {
  awaits,
  canRetry,
  childOf,
  isOver,
  keepEffect,
  keepUndo,
  offerOf,
  resetFailed,
  takeUndo,
  undoNext,
} from "./task.ts";
import { countTakeover } from "./takeover.ts";

type On<T extends RunEvent["type"]> = Extract<RunEvent, { type: T }>;

/**
 * The engine: how a run goes on when something happens to it. Deterministic and without I/O, clock or chance: the same events on
 * the same state give the same state and effects, in any process. The state is changed in place, and is plain data between events.
 */
export class Machine {
  readonly plan: Plan;
  readonly run: RunState;
  /** Of the ids of its tasks, and of the names of its nodes, as the outermost graph knows them. */
  readonly #prefix: string;
  readonly #path: string;
  readonly #root: Machine;
  readonly #children = new Map<Task, Machine>();
  readonly #board: Board;

  constructor(plan: Plan, run: RunState, around?: { root: Machine; prefix: string; path: string }) {
    this.plan = plan;
    this.run = run;
    this.#prefix = around?.prefix ?? "";
    this.#path = around?.path ?? "";
    this.#root = around?.root ?? this;
    this.#board = new Board(plan, run, this.#prefix);
    this.#readChildren();
  }

  /**
   * Takes an event in. Returns what is to be done about it; undefined if it comes too late to mean anything: then nothing has
   * changed, and it need not be recorded. Throws only for an `update` that a reducer does not take, and changes nothing then.
   */
  handle(event: RunEvent): readonly Effect[] | undefined {
    this.#board.effects = [];
    if (!this.#take(event)) return undefined;
    noteTaken(this.run, event.type === "start" ? event.run : event.id);
    if (event.type !== "takeover") this.run.takeovers = 0;
    this.#settle();
    return this.#board.effects;
  }

  #take(event: RunEvent): boolean {
    switch (event.type) {
      case "start":
        return this.#start(event);
      case "signal":
        return this.#signal(event);
      case "cancel":
        return this.#cancel(event);
      case "retry":
        return this.#retry();
      case "proceed":
        return this.#proceed();
      case "breakpoints":
        if (isOver(this.run) && this.run.status !== "failed") return false; // that may be retried
        this.run.breakpoints = event.at;
        return true;
      case "takeover":
        return this.#takeOver();
      case "update":
        mergeStep(this.plan, this.run, [{ from: "an update", writes: event.writes }]);
        return true;
      default:
        return this.#takeOfTask(event);
    }
  }

  #takeOver(): boolean {
    if (isOver(this.run) || this.#asleep) return false;
    const error = countTakeover(this.run, this.#board);
    if (error !== undefined) this.#fail(error);
    return true;
  }

  #takeOfTask(event: Extract<RunEvent, { task: string }>): boolean {
    if (isOver(this.run)) return false;
    const slash = event.task.indexOf("/");
    if (slash >= 0) {
      const around = ownTask(this.run, event.task.slice(0, slash));
      if (around?.state.is !== "inside") return false;
      return this.#inChild(around, { ...event, task: event.task.slice(slash + 1) });
    }
    const task = ownTask(this.run, event.task);
    if (task === undefined) return false;
    switch (event.type) {
      case "done":
        return this.#done(task, event.result);
      case "failed":
        return this.#failed(task, event);
      case "waits":
        return this.#waits(task, event);
      case "enters":
        return this.#enters(task, event);
      case "due":
        return this.#due(task, event.until);
      case "answer":
        if (task.state.is !== "waiting" || task.state.wait.kind !== "interrupt") return false;
        this.#board.wake(task, { value: event.value });
        return true;
      case "effect":
        return keepEffect(task, event);
      default:
        return event satisfies never;
    }
  }

  #start({ run: id, writes, goto, breakpoints }: On<"start">): boolean {
    const { run } = this;
    if (!isOver(run)) return false;
    renewRun(run, id, breakpoints);
    this.#guard(() => {
      mergeStep(this.plan, run, [{ from: "the input", writes }]);
      this.#begin([...this.plan.start.next, ...goto]);
    });
    return true;
  }

  /** The next step: what the last one has led to, or what was deferred, or the end. */
  #begin(targets: readonly Target[]): void {
    const { run } = this;
    const ended = run.tasks;
    run.tasks = [];
    run.tasks = tasksOf(this.plan, run, targets);
    if (run.tasks.length === 0) {
      run.status = "completed";
      return;
    }
    this.#read();
    const { breakpoints } = this.#root.run;
    if (breakpoints && pausesAt(breakpoints, this.#path, ended, run.tasks)) run.paused = true;
    else this.#board.start();
  }

  /** From every breakpoint that the run is at, in subgraphs as well. */
  #proceed(): boolean {
    const { run } = this;
    if (isOver(run)) return false;
    let proceeds = run.paused === true;
    if (proceeds) {
      delete run.paused;
      this.#board.start();
    }
    for (const task of run.tasks) {
      if (task.state.is === "inside") proceeds = this.#child(task).#proceed() || proceeds;
    }
    return proceeds;
  }

  #done(task: Task, result: TaskResult): boolean {
    const { is } = task.state;
    if (is !== "running" && is !== "leaving") return false;
    const { run } = this;
    if (task.undoes === undefined) keepUndo(run, task, result);
    this.#children.delete(task);
    this.#board.end(task, { is: "done", result });
    if (this.#board.open > 0) this.#board.start();
    else if (run.status === "compensating") this.#compensate();
    else this.#commit();
    return true;
  }

  #commit(): void {
    const { run, plan } = this;
    this.#guard(() => {
      mergeStep(plan, run, contributionsOf(run));
      const targets = nextTargets(plan, run);
      if (this.#root === this) this.#board.effects.push({ type: "step", step: run.step });
      this.#begin(targets);
    });
  }

  #failed(task: Task, { error, retryAt, instead }: On<"failed">): boolean {
    if (task.state.is !== "running" && task.state.is !== "leaving") return false;
    const { run } = this;
    if (retryAt !== undefined) {
      task.attempt++;
      this.#board.sleep(task, { is: "backoff", until: retryAt }, retryAt);
      return true;
    }
    if (task.undoes !== undefined) {
      run.uncompensated.push(task.undoes.path.join("/"));
      return this.#done(task, { writes: {}, goto: [] });
    }
    const tolerated = countOf(run.tolerated, task.node) + 1;
    const atMost = this.plan.nodes.get(task.node)!.tolerance?.atMost ?? 0;
    if (instead !== undefined && tolerated <= atMost) {
      run.tolerated[task.node] = tolerated;
      return this.#done(task, instead);
    }
    const child = childOf(task);
    this.#board.end(task, { is: "failed", error, ...(child ? { child } : {}) });
    this.#fail(error);
    return true;
  }

  /** Ends the run: by undoing what has been done, or at once. A subgraph leaves the undoing to the graph around it. */
  #fail(error: WireError): void {
    const { run } = this;
    run.error = error;
    delete run.paused;
    this.#abortAll();
    if (this.#root !== this) {
      run.status = "failed";
      return;
    }
    run.undo = takeUndo(run);
    this.#compensate();
  }

  #abortAll(): void {
    for (const task of this.run.tasks) {
      if (task.state.is === "inside") this.#child(task).#abortAll();
      else this.#board.abort(task);
    }
  }

  #compensate(): void {
    const { run } = this;
    if (!undoNext(run)) return;
    this.#read();
    this.#board.start();
  }

  #cancel({ reason, keep, rollback }: On<"cancel">): boolean {
    const { run } = this;
    if (isOver(run) || run.status === "compensating") return false;
    run.canceled = true;
    if (rollback) run.rollsBack = true;
    if (keep) takeUndo(run);
    this.#fail(new MeshError("CANCELED", reason).toJSON());
    return true;
  }

  /** Not after anything was undone: then the step that failed is not there any more. */
  #retry(): boolean {
    const { run } = this;
    if (!canRetry(run)) return false;
    resetFailed(run);
    this.#read();
    this.#startAll();
    this.#board.effects = outstanding(run); // nothing was at work, so all that is under way now has to begin
    return true;
  }

  #startAll(): void {
    if (!this.run.paused) this.#board.start();
    for (const child of this.#children.values()) child.#startAll();
  }

  #waits(task: Task, { wait, answered }: On<"waits">): boolean {
    if (task.state.is !== "running") return false;
    task.answers.push(...answered);
    delete task.offer;
    const mail = wait.kind === "event" ? takeMail(this.#root.run, wait.name) : undefined;
    const until = "until" in wait && mail === undefined ? wait.until : undefined;
    this.#board.sleep(task, { is: "waiting", wait }, until);
    if (mail !== undefined) this.#board.wake(task, offerOf(wait, mail.value));
    return true;
  }

  #due(task: Task, until: number): boolean {
    const { state } = task;
    if (state.is === "backoff" && state.until === until) {
      this.#board.ready(task);
    } else if (state.is === "waiting" && "until" in state.wait && state.wait.until === until) {
      this.#board.wake(task, { timedOut: true });
    } else return false;
    return true;
  }

  #signal({ name, value }: On<"signal">): boolean {
    if (isOver(this.run)) return false;
    return this.#deliver(name, value) || keepMail(this.run, name, value);
  }

  /** To everybody who waits for it. */
  #deliver(name: string, value: unknown): boolean {
    let delivered = false;
    for (const task of this.run.tasks) {
      const { state } = task;
      if (state.is === "inside") {
        delivered = this.#child(task).#deliver(name, value) || delivered;
      } else if (state.is === "waiting" && awaits(state.wait, name)) {
        this.#board.wake(task, offerOf(state.wait, value));
        delivered = true;
      }
    }
    return delivered;
  }

  #enters(task: Task, { writes, goto }: On<"enters">): boolean {
    const nested = this.plan.nodes.get(task.node)?.nested;
    if (task.state.is !== "running" || nested === undefined) return false;
    task.state = { is: "inside", child: emptyRun(initialValues(nested.plan)) };
    this.#board.busy--;
    return this.#inChild(task, { type: "start", run: this.run.run, writes, goto });
  }

  #inChild(task: Task, event: RunEvent): boolean {
    const child = this.#child(task);
    if (!child.#take(event)) return false;
    child.#settle();
    const { status, error } = child.run;
    if (status !== "completed" && status !== "failed") return true;
    task.state = { is: "leaving", child: child.run };
    const { tolerance } = this.plan.nodes.get(task.node)!;
    if (error === undefined || tolerance !== undefined) {
      this.#board.execute(task);
    } else {
      this.#board.busy++;
      this.#failed(task, { type: "failed", task: task.id, node: task.node, error });
    }
    return true;
  }

  /** The machine of the subgraph that the task is in; what it asks for is asked together with what this one does. */
  #child(task: Task): Machine {
    let child = this.#children.get(task);
    if (child === undefined) {
      const { plan } = this.plan.nodes.get(task.node)!.nested!;
      child = new Machine(plan, childOf(task)!, {
        root: this.#root,
        prefix: `${this.#prefix}${task.id}/`,
        path: `${this.#path}${task.node}/`,
      });
      this.#children.set(task, child);
    }
    child.#board.effects = this.#board.effects;
    return child;
  }

  /** What is derived from the state, anew. */
  #read(): void {
    this.#board.read();
    this.#children.clear();
    this.#readChildren();
  }

  #readChildren(): void {
    for (const task of this.run.tasks) if (task.state.is === "inside") this.#child(task);
  }

  /** Runs what may throw by the fault of a graph (reducers, limits): then the run fails. Who lacks a reducer cannot tell how it goes on. */
  #guard(work: () => void): void {
    try {
      work();
    } catch (error) {
      if (isMeshError(error, "GRAPH_CHANGED")) throw error;
      this.#fail(toMeshError(error).toJSON());
    }
  }

  /** Whether nothing executes: all that is open waits. */
  get #asleep(): boolean {
    if (this.#board.busy > 0) return false;
    for (const child of this.#children.values()) if (!child.#asleep) return false;
    return true;
  }

  #settle(): void {
    const { run } = this;
    if (run.status === "running" || run.status === "waiting") {
      run.status = this.#asleep ? "waiting" : "running";
    }
    if (this.#root !== this) return;
    const asleep = run.status === "waiting" || (run.status === "compensating" && this.#asleep);
    if (isOver(run) || asleep) this.#board.effects.push({ type: "rest" });
  }
}
