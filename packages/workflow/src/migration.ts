import { MeshError } from "@plexus/core";
import { z } from "zod";
import { joinKey, type Plan } from "./plan.ts";
import { END } from "./command.ts";
import type { RunState, Target, Task, TaskState, Undo } from "./run.ts";
import { initialValues } from "./schedule.ts";
import { isSameShape, type Skeleton } from "./skeleton.ts";
import { childOf, isOver, resultOf } from "./task.ts";

/** How a state of an older version of a graph becomes one of this version. */
export interface Migration {
  /** The version it was recorded under. */
  readonly from: string;
  /** New names of nodes that are due or have something to undo. A subgraph's nodes keep theirs. */
  readonly nodes?: Readonly<Record<string, string>>;
  /** New values of all channels; private ones are called `<node>.<channel>`. Default: as they are. */
  readonly values?: (values: Readonly<Record<string, unknown>>) => Record<string, unknown>;
}

/**
 * The state as the graph `plan` goes on with it. Throws `GRAPH_CHANGED`, saying what is in the way, if it cannot and no migration
 * from its version is registered.
 */
export function adapt(
  run: RunState,
  recorded: Skeleton,
  plan: Plan,
  migrations: readonly Migration[],
): RunState {
  const migration = migrations.find(({ from }) => from === recorded.version);
  const migrated = migration ? migrate(run, migration) : run;
  const problems = problemsOf(migrated, migration ? undefined : recorded, plan);
  if (problems.length > 0) {
    throw new MeshError(
      "GRAPH_CHANGED",
      `A run of graph ${recorded.name} ${recorded.version} cannot go on under version ${plan.version}: ${problems.join("; ")}. Register a migration from ${recorded.version}.`,
      { details: { recorded: recorded.hash, current: plan.hash, problems } },
    );
  }
  return withChannels(migrated, plan);
}

/** Throws `GRAPH_CHANGED` if what has failed of a run cannot be tried again, as the graph has lost what that needs since. */
export function demandRetry(run: RunState, plan: Plan): void {
  const problems = problemsOf(run, undefined, plan, "", true);
  if (problems.length === 0) return;
  throw new MeshError(
    "GRAPH_CHANGED",
    `The failed run cannot be tried again under version ${plan.version} of graph ${plan.name}: ${problems.join("; ")}. Begin another one, or register a migration.`,
    { details: { current: plan.hash, problems } },
  );
}

/** With a value of each channel that the graph has now, in subgraphs as well: the initial one, where nothing is known. */
function withChannels(run: RunState, plan: Plan): RunState {
  const values = initialValues(plan);
  for (const key of plan.channels.keys()) {
    if (run.values[key] !== undefined) values[key] = run.values[key];
  }
  const tasks = run.tasks.map((task): Task => {
    const child = childOf(task);
    const nested = plan.nodes.get(task.node)?.nested?.plan;
    if (child === undefined || nested === undefined) return task;
    return { ...task, state: { ...task.state, child: withChannels(child, nested) } as TaskState };
  });
  return { ...run, values, tasks };
}

function migrate(run: RunState, { nodes = {}, values }: Migration): RunState {
  const renamed = (name: string): string => (Object.hasOwn(nodes, name) ? nodes[name]! : name);
  const target = (one: Target): Target =>
    typeof one === "string" ? renamed(one) : { ...one, node: renamed(one.node) };
  const task = (one: Task): Task => {
    const state =
      one.state.is === "done"
        ? {
            ...one.state,
            result: { ...one.state.result, goto: one.state.result.goto.map(target) },
          }
        : one.state;
    return {
      ...one,
      node: path(one.node),
      ...(one.undoes && { undoes: undo(one.undoes) }),
      state: leaving(state, target),
    };
  };
  const path = (name: string): string => {
    const [first = "", ...rest] = name.split("/");
    return [renamed(first), ...rest].join("/");
  };
  const undo = (one: Undo): Undo => ({ ...one, path: path(one.path.join("/")).split("/") });
  const join = (key: string): string => {
    const [from = "", to = ""] = key.split(">");
    return joinKey(from.split("+").map(renamed), renamed(to));
  };
  const { breakpoints } = run;
  return {
    ...run,
    ...(breakpoints && {
      breakpoints: {
        before: breakpoints.before.map(path),
        after: breakpoints.after.map(path),
      },
    }),
    values: values ? values({ ...run.values }) : run.values,
    tasks: run.tasks.map(task),
    deferred: run.deferred.map(renamed),
    joins: byName(run.joins, join, (arrived) => arrived.map(renamed)),
    visits: byName(run.visits, renamed),
    tolerated: byName(run.tolerated, renamed),
    undo: run.undo.map(undo),
  };
}

function byName<T>(
  record: Readonly<Record<string, T>>,
  renamed: (name: string) => string,
  changed: (value: T) => T = (value) => value,
): Record<string, T> {
  return Object.fromEntries(Object.entries(record).map(([n, v]) => [renamed(n), changed(v)]));
}

/** What a subgraph has handed over names nodes of this graph. */
function leaving(state: Task["state"], target: (one: Target) => Target): Task["state"] {
  if (state.is !== "leaving" || state.child.handoff === undefined) return state;
  const { handoff } = state.child;
  const child = { ...state.child, handoff: { ...handoff, goto: handoff.goto.map(target) } };
  return { is: "leaving", child };
}

/**
 * `recorded`: the graph that the values belong to; undefined if a migration has made them. `retries`: a failed run, too, is to go on
 * where it stands.
 */
function problemsOf(
  run: RunState,
  recorded: Skeleton | undefined,
  plan: Plan,
  at = "",
  retries = false,
): string[] {
  const problems = [
    ...(recorded ? channelProblems(run, recorded, plan, at) : unknownChannels(run, plan, at)),
  ];
  if (isOver(run) && !(retries && run.status === "failed")) return problems;
  for (const task of run.tasks) {
    const node = plan.nodes.get(task.undoes?.path[0] ?? task.node);
    if (node === undefined) problems.push(`node ${at}${task.node} is due and gone`);
    problems.push(...pendingProblems(task, recorded, plan, at));
    const child = childOf(task);
    if (child === undefined || node === undefined) continue;
    const bones = recorded?.nodes.find(({ name }) => name === task.node)?.nested;
    if (node.nested === undefined) problems.push(`node ${at}${task.node} is no subgraph any more`);
    else {
      const inside = `${at}${task.node}/`;
      problems.push(...problemsOf(child, bones, node.nested.plan, inside, retries));
    }
  }
  for (const name of run.deferred) {
    if (!plan.nodes.has(name)) problems.push(`node ${at}${name} is due and gone`);
  }
  const joins = new Set(
    [...plan.nodes.values()].flatMap((node) => node.joins.map(({ key }) => key)),
  );
  for (const key of Object.keys(run.joins)) {
    if (!joins.has(key)) problems.push(`the join ${at}${key} has begun and is gone`);
  }
  for (const { path } of run.undo) {
    if (!canUndo(plan, path))
      problems.push(`node ${at}${path.join("/")} cannot be undone any more`);
  }
  return problems;
}

/** Of what has ended in a step that has not: its updates are merged, and what it leads to is due, when that has. */
function pendingProblems(
  task: Task,
  recorded: Skeleton | undefined,
  plan: Plan,
  at: string,
): string[] {
  const { writes } = resultOf(task);
  const goto = [...resultOf(task).goto, ...(childOf(task)?.handoff?.goto ?? [])];
  const due = goto.map((target) => (typeof target === "string" ? target : target.node));
  const gone = due.filter((name) => name !== END && !plan.nodes.has(name));
  return [
    ...gone.map((name) => `node ${at}${name} is due and gone`),
    ...Object.keys(writes).flatMap((key) => {
      const kind = plan.channels.get(key)?.kind;
      const was = recorded?.channels.find((channel) => channel.key === key)?.kind ?? kind;
      if (kind === undefined)
        return [`channel ${at}${key} is gone, and ${task.node} has written it`];
      return kind === was ? [] : [`channel ${at}${key} is ${kind} and was ${was}`];
    }),
  ];
}

function channelProblems(run: RunState, recorded: Skeleton, plan: Plan, at: string): string[] {
  const problems: string[] = [];
  for (const { key, kind, shape } of recorded.channels) {
    const value = run.values[key];
    if (value === undefined) continue;
    const channel = plan.channels.get(key);
    if (channel === undefined) {
      problems.push(`channel ${at}${key} is gone`);
    } else if (channel.kind !== kind) {
      problems.push(`channel ${at}${key} is ${channel.kind} and was ${kind}`);
    } else if (kind === "overwrite" || kind === "append") {
      const parsed = channel.schema.safeParse(value);
      // A schema that has not changed may have made something of it that it would not take.
      if (!parsed.success && !isSameShape(channel.schema, shape)) {
        problems.push(
          `channel ${at}${key} does not take its value: ${z.prettifyError(parsed.error)}`,
        );
      }
    }
  }
  return problems;
}

function unknownChannels(run: RunState, plan: Plan, at: string): string[] {
  return Object.keys(run.values)
    .filter((key) => run.values[key] !== undefined && !plan.channels.has(key))
    .map((key) => `channel ${at}${key} is gone`);
}

function canUndo(plan: Plan, [first = "", ...rest]: readonly string[]): boolean {
  const node = plan.nodes.get(first);
  if (node === undefined) return false;
  if (rest.length === 0) return node.compensate !== undefined;
  return node.nested !== undefined && canUndo(node.nested.plan, rest);
}
