import type { WireError } from "@plexus/core";
import type { Skeleton } from "./skeleton.ts";
import type { Breakpoints, RunState, Target, TaskResult, Wait, Writes } from "./run.ts";

/**
 * What happens to a run. Each event is a fact that is recorded before or while its effects are carried out, so a run is the
 * fold of its events; whatever was decided by a clock, by chance or by a node is in the event.
 */
export type RunEvent = (
  | {
      /** A new run on the thread, with its input. */
      readonly type: "start";
      readonly run: string;
      readonly writes: Writes;
      readonly goto: readonly Target[];
      readonly breakpoints?: Breakpoints;
    }
  | {
      readonly type: "done";
      readonly task: string;
      readonly node: string;
      readonly result: TaskResult;
    }
  | {
      readonly type: "failed";
      readonly task: string;
      readonly node: string;
      readonly error: WireError;
      /** When it is tried again, in ms since the epoch; undefined: never. */
      readonly retryAt?: number;
      /** What the failure is turned into, if the node tolerates it. */
      readonly instead?: TaskResult;
    }
  /** The task cannot go on before something has come. `answered`: what it has taken as answers since the last time. */
  | {
      readonly type: "waits";
      readonly task: string;
      readonly wait: Wait;
      readonly answered: readonly unknown[];
    }
  | {
      readonly type: "effect";
      readonly task: string;
      readonly name: string;
      readonly value: unknown;
    }
  /** A subgraph begins: what its input is, and where its START leads. */
  | {
      readonly type: "enters";
      readonly task: string;
      readonly writes: Writes;
      readonly goto: readonly Target[];
    }
  /** Somebody answers an interrupt. */
  | { readonly type: "answer"; readonly task: string; readonly value: unknown }
  /** Something that tasks may be waiting for has happened. */
  | { readonly type: "signal"; readonly name: string; readonly value: unknown }
  /** The time has come that a task waits for. */
  | { readonly type: "due"; readonly task: string; readonly until: number }
  /** With `keep`, nothing that the run has done is undone; with `rollback`, the next one begins with the state that was before it. */
  | {
      readonly type: "cancel";
      readonly reason: string;
      readonly keep?: true;
      readonly rollback?: true;
    }
  /** From now on, the run pauses there. */
  | { readonly type: "breakpoints"; readonly at: Breakpoints }
  /** A run at a breakpoint goes on. */
  | { readonly type: "proceed" }
  /** A failed run that has undone nothing goes on where it failed. */
  | { readonly type: "retry" }
  /** A process goes on with what another one, which has ended, had begun to execute. */
  | { readonly type: "takeover" }
  /** The state is changed from outside. */
  | { readonly type: "update"; readonly writes: Writes }
) & {
  /** Of the command that it came with, which may be repeated. */
  readonly id?: string;
};

/** What happens to a run, or: from here on, events are of this graph (and the state is that one, where a migration has changed it). */
export type ThreadEvent =
  | RunEvent
  | { readonly type: "graph"; readonly graph: Skeleton; readonly state?: RunState };

/** What has to be done about an event. */
export type Effect =
  /** Run the task's node (its phase follows from the task's state); tell what becomes of it as an event. */
  | { readonly type: "execute"; readonly task: string }
  /** Send `due` when that time has come. */
  | { readonly type: "timer"; readonly task: string; readonly until: number }
  /** Nobody wants the task's result any more. */
  | { readonly type: "abort"; readonly task: string }
  /** A step is complete, and its results are in the state. */
  | { readonly type: "step"; readonly step: number }
  /** The run is at rest: its status tells how. */
  | { readonly type: "rest" };
