import type { Effect } from "./event.ts";
import type { Plan } from "./plan.ts";
import type { RunState, Task } from "./run.ts";
import { childOf, isOver } from "./task.ts";

/** A task with the graph, and the run of that graph, that it belongs to. */
export interface Located {
  readonly plan: Plan;
  readonly run: RunState;
  readonly task: Task;
}

/** The run's own task of that id; undefined if it is of another step. */
export function ownTask(run: RunState, id: string): Task | undefined {
  const task = run.tasks[Number(id.slice(id.indexOf(":") + 1))];
  return task?.id === id ? task : undefined;
}

/** The task of that id, in this run or in a subgraph. */
export function locate(plan: Plan, run: RunState, id: string): Located | undefined {
  const slash = id.indexOf("/");
  if (slash < 0) {
    const task = ownTask(run, id);
    return task && { plan, run, task };
  }
  const task = ownTask(run, id.slice(0, slash));
  const child = task && childOf(task);
  const nested = task && plan.nodes.get(task.node)?.nested?.plan;
  return child && nested && locate(nested, child, id.slice(slash + 1));
}

/** Every task that waits for something to come, in this run and the subgraphs it is in, with its full id. */
export function* waitingTasks(run: RunState, prefix = ""): Generator<{ id: string; task: Task }> {
  if (isOver(run)) return;
  for (const task of run.tasks) {
    const id = prefix + task.id;
    if (task.state.is === "waiting") yield { id, task };
    else if (task.state.is === "inside") yield* waitingTasks(task.state.child, `${id}/`);
  }
}

/** What was under way when the state was recorded: what a process that takes the run over has to do. */
export function outstanding(run: RunState, prefix = ""): Effect[] {
  if (isOver(run)) return [];
  return run.tasks.flatMap((task): Effect[] => {
    const { state } = task;
    const id = prefix + task.id;
    switch (state.is) {
      case "running":
      case "leaving":
        return [{ type: "execute", task: id }];
      case "backoff":
        return [{ type: "timer", task: id, until: state.until }];
      case "inside":
        return outstanding(state.child, `${id}/`);
      case "waiting": {
        const until = "until" in state.wait ? state.wait.until : undefined;
        return until === undefined ? [] : [{ type: "timer", task: id, until }];
      }
      default:
        return [];
    }
  });
}

/** When the run goes on by itself, in ms since the epoch; Infinity: not before something has come. */
export function wakesAt(run: RunState): number {
  const times = outstanding(run).map((effect) => (effect.type === "timer" ? effect.until : 0));
  return times.reduce((first, time) => Math.min(first, time), Infinity);
}
