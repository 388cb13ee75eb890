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
