import type { WireError } from "@plexus/core";

/** Updates by channel, checked by the channels' schemas. */
export type Writes = Readonly<Record<string, unknown>>;

/** A node that executes next; with `sent`, on an input of its own. */
export type Target = string | { readonly node: string; readonly input: unknown };

/** What a task waits for. `op` counts the waits of one execution, so that an answer finds the wait it belongs to. */
export type Wait =
  | {
      readonly kind: "interrupt";
      readonly op: number;
      readonly value: unknown;
      readonly problem?: string;
    }
  | { readonly kind: "time"; readonly op: number; readonly until: number }
  | { readonly kind: "event"; readonly op: number; readonly name: string; readonly until?: number };

/** What a waiting task is woken with. The node decides whether it is what it has waited for, and waits on `until` then if not. */
export type Offer =
  | { readonly value: unknown; readonly until?: number }
  | { readonly timedOut: true };

/** What a finished task has come to. */
export interface TaskResult {
  readonly writes: Writes;
  /** Where it, and the routers behind it, have decided to go, besides its fixed edges. */
  readonly goto: readonly Target[];
  /** What it had returned, for the node's compensation. */
  readonly undo?: unknown;
  /** Present if it ends its subgraph. */
  readonly handoff?: Handoff;
}

/** What a subgraph's node tells the graph around it, which checks it: an update of its channels, and who goes on there. */
export interface Handoff {
  readonly update: unknown;
  readonly goto: readonly Target[];
}

/** Nodes that a run pauses before or after: their names, a subgraph's as `<node>/<name>`, or `*` for all of the graph. */
export interface Breakpoints {
  readonly before: readonly string[];
  readonly after: readonly string[];
}

/**
 * Where a task stands.
 * ready → running → done | failed; running → backoff | waiting → ready; a subgraph's is `inside` between entering and leaving.
 */
export type TaskState =
  | { readonly is: "ready" }
  | { readonly is: "running" }
  | { readonly is: "inside"; readonly child: RunState }
  | { readonly is: "leaving"; readonly child: RunState }
  | { readonly is: "backoff"; readonly until: number }
  | { readonly is: "waiting"; readonly wait: Wait }
  | { readonly is: "done"; readonly result: TaskResult }
  /** `child`: the subgraph as it stood, so that it can go on there. */
  | { readonly is: "failed"; readonly error: WireError; readonly child?: RunState };

/** One execution of a node: recorded once, however often it is tried. */
export interface Task {
  /** `<step>:<index>`, unique in its run; a subgraph's begins with that of the task around it and `/`. */
  readonly id: string;
  readonly node: string;
  /** Present if the task was sent: its input. */
  readonly sent?: { readonly input: unknown };
  /** Present if the task undoes an earlier one: what that had returned. */
  readonly undoes?: Undo;
  state: TaskState;
  /** The attempt under way, from 1; what failed before is counted. */
  attempt: number;
  /** Attempts before the run was last tried again, which the retry policy does not count. */
  before?: number;
  /** What it was answered, by wait. */
  answers: unknown[];
  /** Results of its effects, by name. */
  effects: Record<string, unknown>;
  /** Names of effects that have come to `undefined`. */
  voids?: string[];
  offer?: Offer;
}

/** What a compensation has to undo: the node, by way of the subgraphs around it, and what it had returned. */
export interface Undo {
  readonly path: readonly string[];
  readonly update: unknown;
}

/** How a run stands. `waiting`: nothing executes until time passes or an answer or event comes. */
export type RunStatus =
  | "idle"
  | "running"
  | "waiting"
  | "compensating"
  | "completed"
  | "failed"
  | "canceled";

/** The whole state of a thread, as plain data: what a snapshot holds. */
export interface RunState {
  /** The run under way or the last one; "" before the first. */
  run: string;
  status: RunStatus;
  /** Steps of this run so far. */
  step: number;
  /** Channel values. */
  values: Record<string, unknown>;
  /** The open step, in the order in which its results are merged. */
  tasks: Task[];
  /** Joins: who has arrived of those waited for, by join. */
  joins: Record<string, string[]>;
  /** Deferred nodes that are due when nothing else is. */
  deferred: string[];
  /** Executions of each node in this run. */
  visits: Record<string, number>;
  /** What to undo if the run fails, oldest first. */
  undo: Undo[];
  /** Why the run failed, or is about to. */
  error?: WireError;
  /** It was canceled, and did not fail. */
  canceled?: true;
  /** It was canceled so that the next one begins with the state that was there before it. */
  rollsBack?: true;
  /** Failures of each node in the open step that it was allowed. */
  tolerated: Record<string, number>;
  /** Nodes whose compensation failed. */
  uncompensated: string[];
  /** Events that came before anybody waited for them, by name. */
  mailbox: Record<string, unknown[]>;
  /** Processes that have ended over the run since something was recorded of it. */
  takeovers: number;
  /** Ids of the last commands that were taken in, runs that were begun among them; oldest first. */
  taken: string[];
  /** A subgraph that a node of its own has ended. */
  handoff?: Handoff;
  /** Where the run pauses; kept in the outermost graph's state. */
  breakpoints?: Breakpoints;
  /** At a breakpoint: the open step has not begun. */
  paused?: true;
}

const MAX_TAKEN = 64;

/** Remembers the command that an event came with, if it has an id. */
export function noteTaken({ taken }: RunState, id: string | undefined): void {
  if (id === undefined) return;
  taken.push(id);
  if (taken.length > MAX_TAKEN) taken.shift();
}

/** A new run on the state that the last one has left. */
export function renewRun(run: RunState, id: string, breakpoints: Breakpoints | undefined): void {
  const { values, taken } = run;
  // One by one, and only what may be there: an object that much is deleted from is slow from then on.
  delete run.error;
  delete run.canceled;
  delete run.rollsBack;
  delete run.handoff;
  delete run.paused;
  delete run.breakpoints;
  Object.assign(run, emptyRun(values), { run: id, status: "running", taken });
  if (breakpoints !== undefined) run.breakpoints = breakpoints;
}

/** The state of a thread that nothing has happened to. */
export function emptyRun(values: Record<string, unknown>): RunState {
  return {
    run: "",
    status: "idle",
    step: 0,
    values,
    tasks: [],
    joins: {},
    deferred: [],
    visits: {},
    undo: [],
    uncompensated: [],
    tolerated: {},
    mailbox: {},
    takeovers: 0,
    taken: [],
  };
}
