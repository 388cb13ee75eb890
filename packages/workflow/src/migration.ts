import { MeshError } from "@plexus/core";
import { z } from "zod";
import type { Plan } from "./plan.ts";
import type { RunState, Target, Task } from "./run.ts";
import { initialValues } from "./schedule.ts";
import type { Skeleton } from "./skeleton.ts";
import { childOf, isOver } from "./task.ts";

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
  const values = initialValues(plan);
  for (const key of plan.channels.keys()) {
    if (migrated.values[key] !== undefined) values[key] = migrated.values[key];
  }
  return { ...migrated, values };
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
    return { ...one, node: renamed(one.node), state: leaving(state, target) };
  };
  const path = (name: string): string => {
    const [first = "", ...rest] = name.split("/");
    return [renamed(first), ...rest].join("/");
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
    visits: Object.fromEntries(Object.entries(run.visits).map(([n, v]) => [renamed(n), v])),
    undo: run.undo.map((one) => ({
      ...one,
      path: [renamed(one.path[0] ?? ""), ...one.path.slice(1)],
    })),
  };
}

/** What a subgraph has handed over names nodes of this graph. */
function leaving(state: Task["state"], target: (one: Target) => Target): Task["state"] {
  if (state.is !== "leaving" || state.child.handoff === undefined) return state;
  const { handoff } = state.child;
  const child = { ...state.child, handoff: { ...handoff, goto: handoff.goto.map(target) } };
  return { is: "leaving", child };
}

/** `recorded`: the graph that the values belong to; undefined if a migration has made them. */
function problemsOf(run: RunState, recorded: Skeleton | undefined, plan: Plan, at = ""): string[] {
  const problems = [
    ...(recorded ? channelProblems(run, recorded, plan, at) : unknownChannels(run, plan, at)),
  ];
  if (isOver(run)) return problems;
  for (const task of run.tasks) {
    const node = plan.nodes.get(task.undoes?.path[0] ?? task.node);
    if (node === undefined) problems.push(`node ${at}${task.node} is due and gone`);
    const child = childOf(task);
    if (child === undefined || node === undefined) continue;
    const bones = recorded?.nodes.find(({ name }) => name === task.node)?.nested;
    if (node.nested === undefined) problems.push(`node ${at}${task.node} is no subgraph any more`);
    else problems.push(...problemsOf(child, bones, node.nested.plan, `${at}${task.node}/`));
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

function channelProblems(run: RunState, recorded: Skeleton, plan: Plan, at: string): string[] {
  const problems: string[] = [];
  for (const { key, kind } of recorded.channels) {
    const value = run.values[key];
    if (value === undefined) continue;
    const channel = plan.channels.get(key);
    if (channel === undefined) {
      problems.push(`channel ${at}${key} is gone`);
    } else if (channel.kind !== kind) {
      problems.push(`channel ${at}${key} is ${channel.kind} and was ${kind}`);
    } else if (kind === "overwrite" || kind === "append") {
      const parsed = channel.schema.safeParse(value);
      if (!parsed.success) {
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
