import { MeshError } from "@plexus/core";
import { END } from "./command.ts";
import type { Exits, Plan } from "./plan.ts";
import type { Handoff, RunState, Target, Task } from "./run.ts";
import { newTask, resultOf } from "./task.ts";

/**
 * Where a complete step leads, in the order of its tasks: nowhere, if one of them hands over to the graph around this one. Counts those who
 * have arrived at a join.
 */
export function nextTargets(plan: Plan, run: RunState): Target[] {
  const handoff = handoffOf(plan, run);
  if (handoff !== undefined) {
    run.handoff = handoff;
    run.deferred = [];
    return [];
  }
  const targets: Target[] = [];
  for (const { node, state } of run.tasks) {
    const exits: Exits = plan.nodes.get(node)!;
    for (const target of exits.next) if (target !== END) targets.push(target);
    for (const { key, from, to } of exits.joins) {
      const arrived = (run.joins[key] ??= []);
      if (!arrived.includes(node)) arrived.push(node);
      if (arrived.length < from.length) continue;
      delete run.joins[key];
      if (to !== END) targets.push(to);
    }
    if (state.is === "done") targets.push(...state.result.goto);
  }
  return targets;
}

/** The values of a graph's channels before anything was written. */
export function initialValues(plan: Plan): Record<string, unknown> {
  const values: Record<string, unknown> = {};
  for (const [key, channel] of plan.channels) values[key] = channel.initial();
  return values;
}

/** What of the targets is due now, each node once; deferred ones wait in the run until nothing else is. */
function splitDeferred(plan: Plan, run: RunState, targets: readonly Target[]): Target[] {
  const due: Target[] = [];
  for (const target of targets) {
    if (typeof target !== "string") due.push(target);
    else if (plan.nodes.get(target)!.deferred) {
      if (!run.deferred.includes(target)) run.deferred.push(target);
    } else if (!due.includes(target)) due.push(target);
  }
  return due.length > 0 ? due : run.deferred.splice(0);
}

/** The tasks of the next step, none if the run is over. Throws `STEP_LIMIT` if the graph or a node is executed once too often. */
export function tasksOf(plan: Plan, run: RunState, targets: readonly Target[]): Task[] {
  const due = splitDeferred(plan, run, targets);
  if (due.length === 0) return [];
  if (run.step >= plan.maxSteps) {
    throw new MeshError(
      "STEP_LIMIT",
      `Graph ${plan.name} has not ended after ${plan.maxSteps} steps: raise maxSteps, or end its loop.`,
    );
  }
  run.step++;
  run.tolerated = {};
  for (const target of due) {
    countVisit(plan, run, typeof target === "string" ? target : target.node);
  }
  return due.map((target, index) => newTask(`${run.step}:${index}`, target));
}

/**
 * What a task of the complete step tells the graph around this one, if any does. Throws `INVALID_OUTPUT` if several do: nobody could tell
 * which of them counts.
 */
function handoffOf(plan: Plan, run: RunState): Handoff | undefined {
  let first: Task | undefined;
  for (const task of run.tasks) {
    if (task.state.is !== "done" || task.state.result.handoff === undefined) continue;
    if (first !== undefined) {
      throw new MeshError(
        "INVALID_OUTPUT",
        `Nodes ${first.node} and ${task.node} of graph ${plan.name} both direct the graph around it, in step ${run.step}.`,
        { details: { nodes: [first.node, task.node], step: run.step } },
      );
    }
    first = task;
  }
  return first && resultOf(first).handoff;
}

/** What has been counted of a node, which may be called `constructor`. */
export function countOf(counts: Readonly<Record<string, number>>, node: string): number {
  return Object.hasOwn(counts, node) ? counts[node]! : 0;
}

/** Counts an execution of the node. Throws `STEP_LIMIT` if it is one too many. */
function countVisit(plan: Plan, run: RunState, node: string): void {
  const visits = countOf(run.visits, node) + 1;
  run.visits[node] = visits;
  if (visits <= plan.nodes.get(node)!.maxVisits) return;
  throw new MeshError(
    "STEP_LIMIT",
    `Node ${node} of graph ${plan.name} may be executed ${visits - 1} times in a run (maxVisits), and is due once more.`,
  );
}
