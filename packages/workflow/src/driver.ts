import { MAX_TIMER_MS, MeshError, toMeshError, type ThreadState } from "@plexus/core";
import type { Effect, RunEvent } from "./event.ts";
import { Execution, type Host } from "./execute.ts";
import type { Surroundings } from "./execution-context.ts";
import { locate, outstanding, wakesAt, type Located } from "./look.ts";
import { Machine } from "./machine.ts";
import type { Plan } from "./plan.ts";
import { encodeSnapshot } from "./record.ts";
import type { RunLog } from "./run-log.ts";
import type { RunState } from "./run.ts";
import { countOf } from "./schedule.ts";
import { skeletonOf } from "./skeleton.ts";
import { isOver } from "./task.ts";

/** Who is told what happens in a run. */
export interface Listener {
  event(event: RunEvent, effects: readonly Effect[], machine: Machine): void;
  tell(mode: "custom" | "tokens", node: string, value: unknown): void;
  /** What the run has to wait for before it goes on, if the listener is behind. */
  room(): Promise<void> | undefined;
}

/** A run that has to wait for longer is not kept in memory, if somebody else wakes it. */
const MIN_SLEEP_MS = 30_000;
/** Synchronous nodes give way to whatever else the process has to do now and then. */
const EVENTS_IN_A_ROW = 1_000;

/**
 * Executes what a {@link Machine} asks for, and tells it what became of that. Whatever the process does not survive follows again
 * from what is recorded.
 */
export class Driver {
  readonly #machine: Machine;
  readonly #thread: string;
  readonly #host: Host;
  readonly #log: RunLog | undefined;
  readonly #left: readonly Effect[];
  readonly #listeners = new Set<Listener>();
  readonly #executing = new Map<string, Execution>();
  readonly #timers = new Map<string, NodeJS.Timeout>();
  #inbox: RunEvent[] = [];
  #pumping = false;
  /** Somebody goes on with the run when it has slept long enough. */
  readonly #wakes: boolean;
  #stopped: { readonly error: unknown } | undefined;
  #leaving: { readonly error: unknown } | undefined;
  readonly #rest = Promise.withResolvers<void>();
  #rested = false;

  constructor(
    plan: Plan,
    run: RunState,
    options: { thread: string; host: Host; log: RunLog | undefined; wakes: boolean },
  ) {
    this.#wakes = options.wakes;
    this.#machine = new Machine(plan, run);
    this.#left = outstanding(run);
    this.#thread = options.thread;
    this.#host = options.host;
    this.#log = options.log;
    this.#log?.follow(() => this.#state);
    this.#rest.promise.catch(() => {}); // who waits is told; if nobody does, nobody need be
  }

  get plan(): Plan {
    return this.#machine.plan;
  }

  get run(): RunState {
    return this.#machine.run;
  }

  listen(listener: Listener): void {
    this.#listeners.add(listener);
  }

  unlisten(listener: Listener): void {
    this.#listeners.delete(listener);
  }

  /** Cancels the run when the signal fires, as long as it is executed here. */
  cancelOn(signal: AbortSignal | undefined): void {
    if (signal === undefined) return;
    const cancel = (): void => {
      if (this.active) this.take({ type: "cancel", reason: "The caller gave up." });
    };
    signal.addEventListener("abort", cancel, { once: true });
    const forget = (): void => signal.removeEventListener("abort", cancel);
    this.#rest.promise.then(forget, forget);
    if (signal.aborted) cancel();
  }

  /** Does what was under way when the state was recorded, unless what has come since is otherwise. */
  resume(): void {
    this.#perform(this.#left);
    if (this.#executing.size === 0) this.#atRest();
  }

  /** Set while it is yet to be decided where a new run begins: then no other one may begin. */
  starting: Promise<unknown> | undefined;

  /** Whether nodes were being executed when the state was recorded, by a process that has ended since. */
  get takesOver(): boolean {
    return this.#left.some(({ type }) => type === "execute");
  }

  /** False when {@link rest} has settled: then nothing is executed any more. */
  get active(): boolean {
    return !this.#rested && this.#stopped === undefined;
  }

  /** Takes an event from outside in. False if it comes too late to mean anything. Throws `UNENCODABLE`. */
  take(event: RunEvent): boolean {
    if (this.#stopped !== undefined) throw this.#stopped.error;
    if (this.#rested) return false;
    const records = this.#log?.encode(event);
    const effects = this.#machine.handle(event);
    if (effects === undefined) return false;
    this.#follow(event, effects, records);
    return true;
  }

  /** Resolves when the run is over or waits for something other than time, and what is recorded of it is stored. */
  rest(): Promise<void> {
    return this.#rest.promise;
  }

  /**
   * Begins nothing more, and stops when what is executed has ended and is recorded, or at once when it takes longer than `graceMs`.
   * Another process goes on.
   */
  leave(reason: unknown, graceMs: number): void {
    if (!this.active || this.#leaving !== undefined) return;
    this.#leaving = { error: reason };
    const timer = setTimeout(() => this.stop(reason), graceMs);
    const forget = (): void => clearTimeout(timer);
    this.#rest.promise.then(forget, forget);
    this.#leaveIfIdle();
  }

  #leaveIfIdle(): void {
    const leaving = this.#leaving;
    if (leaving === undefined || this.#executing.size > 0) return;
    const stop = (): void => this.stop(leaving.error);
    Promise.resolve(this.#log?.stored()).then(stop, stop);
  }

  /** Drops everything, as a process does that dies; rejects {@link rest}. */
  stop(error: unknown): void {
    if (this.#stopped !== undefined) return;
    this.#stopped = { error };
    const reason = toMeshError(error);
    for (const execution of this.#executing.values()) execution.abort(reason);
    this.#executing.clear();
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    this.#rest.reject(error);
  }

  #send(event: RunEvent): void {
    this.#inbox.push(event);
    if (!this.#pumping) this.#pump();
  }

  #pump(): void {
    this.#pumping = true;
    try {
      this.#handleAll();
    } catch (error) {
      this.stop(error); // nobody else would ever know
    }
  }

  #handleAll(): void {
    let handled = 0;
    // The list grows while it is worked off: nodes that are not asynchronous end within.
    for (let next = 0; next < this.#inbox.length && this.#stopped === undefined; next++) {
      if (++handled > EVENTS_IN_A_ROW) {
        this.#inbox = this.#inbox.slice(next);
        setImmediate(() => this.#pump());
        return;
      }
      this.#handle(this.#inbox[next]!);
    }
    this.#inbox = [];
    this.#pumping = false;
  }

  #handle(event: RunEvent): void {
    let recorded = event;
    let records: Uint8Array[] | undefined;
    try {
      records = this.#log?.encode(event);
    } catch (error) {
      if (!("task" in event)) throw error;
      // What a node has made cannot be stored: that is its failure.
      const node = locate(this.plan, this.run, event.task)?.task.node ?? "";
      recorded = { type: "failed", task: event.task, node, error: toMeshError(error).toJSON() };
      records = this.#log?.encode(recorded);
    }
    const effects = this.#machine.handle(recorded);
    if (effects !== undefined) this.#follow(recorded, effects, records);
  }

  #follow(event: RunEvent, effects: readonly Effect[], records: Uint8Array[] | undefined): void {
    const log = this.#log;
    if (log !== undefined && records !== undefined) {
      log.add(records);
      log.snapshotIfDue((most) =>
        encodeSnapshot({ at: this.#host.now(), graph: skeletonOf(this.plan), run: this.run }, most),
      );
    }
    for (const listener of this.#listeners) listener.event(event, effects, this.#machine);
    if (effects.length === 0) return;
    const awaited = log?.mustWait === true ? [log.stored()] : [];
    for (const listener of this.#listeners) {
      const room = listener.room();
      if (room !== undefined) awaited.push(room);
    }
    if (awaited.length === 0) {
      this.#perform(effects);
      return;
    }
    Promise.all(awaited).then(
      () => this.#perform(effects),
      (error: unknown) => this.stop(error),
    );
  }

  #perform(effects: readonly Effect[]): void {
    for (const effect of effects) {
      if (this.#stopped !== undefined) return;
      if (this.#leaving !== undefined && effect.type === "execute") continue;
      switch (effect.type) {
        case "execute":
          this.#execute(effect.task);
          break;
        case "timer":
          this.#arm(effect.task, effect.until);
          break;
        case "abort":
          this.#executing.get(effect.task)?.abort(this.#abortReason());
          this.#executing.delete(effect.task);
          break;
        case "rest":
          this.#atRest();
          break;
        default:
      }
    }
  }

  get #state(): ThreadState {
    const { status } = this.run;
    if (status === "failed" || status === "canceled") return status;
    if (isOver(this.run)) return "over";
    const until = wakesAt(this.run);
    if (until === Infinity) return "waiting";
    return this.#sleepsUntil(until) ? { until } : "busy";
  }

  /** Whether to leave it to others to go on then. */
  #sleepsUntil(until: number): boolean {
    return this.#wakes && until > this.#host.now() + MIN_SLEEP_MS;
  }

  #abortReason(): MeshError {
    return new MeshError("CANCELED", this.run.error?.message ?? "The run has ended.");
  }

  #execute(id: string): void {
    const located = locate(this.plan, this.run, id);
    const is = located?.task.state.is;
    if (located === undefined || (is !== "running" && is !== "leaving")) return;
    if (isOver(this.run) || isOver(located.run)) return;
    const execution = new Execution(id, located, this.#host, this.#surroundings(id, located));
    this.#executing.set(id, execution);
    const outcome = execution.run();
    if (outcome instanceof Promise) void outcome.then((event) => this.#ended(id, execution, event));
    else this.#ended(id, execution, outcome);
  }

  #ended(id: string, execution: Execution, event: RunEvent): void {
    if (this.#executing.get(id) !== execution) return; // nobody wants to know any more
    this.#executing.delete(id);
    this.#send(event);
    this.#leaveIfIdle();
  }

  #surroundings(id: string, { run, task }: Located): Surroundings {
    return {
      thread: this.#thread,
      run: this.run.run,
      step: run.step,
      visits: countOf(run.visits, task.node),
      now: () => this.#host.now(),
      note: (name, value) => this.#note(id, name, value),
      tell: (mode, value) => {
        for (const listener of this.#listeners) listener.tell(mode, task.node, value);
      },
    };
  }

  async #note(task: string, name: string, value: unknown): Promise<void> {
    const event: RunEvent = { type: "effect", task, name, value };
    this.#log?.encode(event); // what cannot be recorded is the node's error, not a silent repetition later
    this.#send(event);
    if (this.#log === undefined) return;
    await Promise.resolve(); // by now it has been handled
    await this.#log.stored();
  }

  #arm(task: string, until: number): void {
    clearTimeout(this.#timers.get(task));
    const left = Math.max(0, until - this.#host.now());
    const timer = setTimeout(
      () => {
        this.#timers.delete(task);
        if (this.#host.now() < until) this.#arm(task, until);
        else this.#send({ type: "due", task, until });
      },
      Math.min(left, MAX_TIMER_MS),
    );
    this.#timers.set(task, timer);
  }

  #atRest(): void {
    const left = outstanding(this.run);
    const awaited = new Set(left.map((effect) => ("task" in effect ? effect.task : "")));
    for (const [task, timer] of this.#timers) {
      if (awaited.has(task)) continue;
      clearTimeout(timer);
      this.#timers.delete(task);
    }
    if (left.length > 0 && !this.#sleepsUntil(wakesAt(this.run))) return; // time will pass by itself
    void this.#settle();
  }

  /** Once all is stored; unless something has come meanwhile. */
  async #settle(): Promise<void> {
    try {
      do {
        // Another run may begin right behind this one.
        await this.#log?.stored();
        await this.starting?.catch(() => undefined);
      } while (this.starting !== undefined || this.#log?.isBehind === true);
    } catch (error) {
      this.stop(error);
    }
    const until = wakesAt(this.run);
    if (!this.active || (until < Infinity && !this.#sleepsUntil(until))) return;
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    this.#rested = true;
    this.#rest.resolve();
  }
}
