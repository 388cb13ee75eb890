import type { Offer, RunState, Target, Task, TaskResult, Undo, Wait } from "./run.ts";

/** A task that is about to begin. */
export function newTask(id: string, target: Target): Task {
  const task: Task = {
    id,
    node: typeof target === "string" ? target : target.node,
    state: { is: "ready" },
    attempt: 1,
    answers: [],
    effects: {},
  };
  return typeof target === "string" ? task : { ...task, sent: { input: target.input } };
}

/** Begins to undo what was done last of what is left to undo; false if nothing is: then the run has ended. */
export function undoNext(run: RunState): boolean {
  const undoes = run.undo.pop();
  if (undoes === undefined) {
    run.status = run.canceled ? "canceled" : "failed";
    return false;
  }
  run.status = "compensating";
  run.step++;
  run.tasks = [{ ...newTask(`${run.step}:0`, undoes.path.join("/")), undoes }];
  return true;
}

/** What a finished task has come to. */
export function resultOf({ state }: Task): TaskResult {
  return state.is === "done" ? state.result : { writes: {}, goto: [] };
}

/** The run of the subgraph that the task is in, or was in when it failed. */
export function childOf({ state }: Task): RunState | undefined {
  return "child" in state ? state.child : undefined;
}

/** True when nothing is under way in the run, and a new one may begin. */
export function isOver({ status }: RunState): boolean {
  return (
    status === "idle" || status === "completed" || status === "failed" || status === "canceled"
  );
}

/** Notes what would have to be undone of a finished task, its subgraph's part first to last. */
export function keepUndo(run: RunState, task: Task, { undo }: TaskResult): void {
  if (undo !== undefined) run.undo.push({ path: [task.node], update: undo });
  const child = childOf(task);
  for (const { path, update } of child ? takeUndo(child) : []) {
    run.undo.push({ path: [task.node, ...path], update });
  }
}

/** Records what an effect of the task has come to, of an earlier attempt perhaps. False if the task has ended. */
export function keepEffect(task: Task, { name, value }: { name: string; value: unknown }): boolean {
  const { is } = task.state;
  if (is === "done" || is === "failed") return false;
  task.effects[name] = value;
  // A snapshot leaves out what is undefined.
  if (value === undefined) (task.voids ??= []).push(name);
  return true;
}

/** Takes out all that the run and the subgraphs it is in have to undo, oldest first; paths begin in this run. */
export function takeUndo(run: RunState): Undo[] {
  const undo = run.undo.splice(0);
  for (const task of run.tasks) {
    const child = childOf(task);
    if (child === undefined) continue;
    for (const { path, update } of takeUndo(child)) {
      undo.push({ path: [task.node, ...path], update });
    }
  }
  return undo;
}

/** Failed and interrupted tasks are ready once more, and have their attempts before them; finished ones, and subgraphs, stay finished. */
export function resetFailed(run: RunState): void {
  if (run.status === "failed") run.status = "running";
  delete run.error;
  for (const task of run.tasks) {
    const { state } = task;
    if (state.is === "leaving") continue;
    const child = childOf(task);
    if (child?.status === "completed") task.state = { is: "leaving", child };
    else if (child !== undefined) {
      task.state = { is: "inside", child };
      resetFailed(child);
    } else if (state.is === "failed" || state.is === "running") {
      task.state = { is: "ready" };
      task.before = task.attempt++; // what an attempt has ordered elsewhere is not taken for the next one's
    }
  }
}

/** Whether something can be tried again in a run that has failed: not if that was between two steps, of a subgraph perhaps. */
export function canRetry({ status, tasks }: RunState): boolean {
  if (status !== "failed") return false;
  return tasks.some(({ state }) => {
    if (state.is !== "failed") return false;
    return state.child?.status !== "failed" || canRetry(state.child);
  });
}

/** Whether what is waited for is an event of that name; the wait's type is narrowed. */
export function awaits(wait: Wait, name: string): wait is Extract<Wait, { kind: "event" }> {
  return wait.kind === "event" && wait.name === name;
}

/** What a task that waits is woken with when something has come. */
export function offerOf(wait: Wait, value: unknown): Offer {
  return "until" in wait && wait.until !== undefined ? { value, until: wait.until } : { value };
}
