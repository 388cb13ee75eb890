import { waitingTasks } from "./look.ts";
import type { RunState } from "./run.ts";

/** A question that a run waits to be answered. */
export interface Interrupt {
  /** Names it in `new Command({ resume, interrupt })`. */
  readonly id: string;
  readonly node: string;
  /** What the node has asked. */
  readonly value: unknown;
  /** Why the last answer was not taken. */
  readonly problem?: string;
}

/** What a run waits for besides answers: an event, a time, or an event until a time. */
export interface PendingWait {
  readonly node: string;
  /** Told by `signal`. */
  readonly event?: string;
  /** Ms since the epoch. */
  readonly until?: number;
}

/** What a run, and the subgraphs it is in, wait for besides answers. */
export function pendingWaits(run: RunState): PendingWait[] {
  const waits: PendingWait[] = [];
  for (const { task } of waitingTasks(run)) {
    if (task.state.is !== "waiting" || task.state.wait.kind === "interrupt") continue;
    const { wait } = task.state;
    waits.push({
      node: task.node,
      ...(wait.kind === "event" && { event: wait.name }),
      ...(wait.until !== undefined && { until: wait.until }),
    });
  }
  return waits;
}

/** The open questions of a run and of the subgraphs it is in. */
export function interruptsOf(run: RunState): Interrupt[] {
  const interrupts: Interrupt[] = [];
  for (const { id, task } of waitingTasks(run)) {
    if (task.state.is !== "waiting" || task.state.wait.kind !== "interrupt") continue;
    const { value, problem } = task.state.wait;
    const { node } = task;
    interrupts.push(problem === undefined ? { id, node, value } : { id, node, value, problem });
  }
  return interrupts;
}
