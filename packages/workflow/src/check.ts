import { MeshError } from "@plexus/core";
import { END, PARENT, START } from "./command.ts";
import type { Exits, NodePlan, Plan } from "./plan.ts";

type Unhashed = Omit<Plan, "hash">;

/** Throws `INVALID_CONTRACT`, naming the culprit, unless the graph can do what it says. `sources` is where edges begin. */
export function checkPlan(plan: Unhashed, sources: readonly string[]): void {
  const { nodes, start } = plan;
  const fail = (text: string): never => {
    throw new MeshError("INVALID_CONTRACT", `Graph ${plan.name}: ${text}.`);
  };
  for (const source of sources) {
    if (source !== START && !nodes.has(source))
      fail(`an edge begins at ${source}, which is no node`);
  }
  for (const [from, exits] of [[START, start] as const, ...nodes]) {
    for (const to of targetsOf(exits)) {
      if (to !== END && !nodes.has(to)) fail(`${from} leads to ${to}, which is no node`);
    }
  }
  if (targetsOf(start).length === 0) fail("no edge begins at START");

  const reached = reach(targetsOf(start), (name) => targetsOf(nodes.get(name)));
  for (const name of nodes.keys()) {
    if (!reached.has(name)) fail(`node ${name} is unreachable: no way leads to it from START`);
  }
  for (const [name, node] of nodes) {
    if (targetsOf(node).length === 0)
      fail(`node ${name} leads nowhere: add an edge, to END perhaps`);
  }
  const ending = reach([END], (name) =>
    [...nodes.values()].filter((node) => targetsOf(node).includes(name)).map((node) => node.name),
  );
  for (const name of nodes.keys()) {
    if (!ending.has(name)) fail(`from node ${name} no way leads to END`);
  }
  checkWrites(plan, fail);
}

function checkWrites(plan: Unhashed, fail: (text: string) => never): void {
  const { nodes, channels } = plan;
  for (const { name, writes = [], privates } of nodes.values()) {
    for (const key of writes) {
      if (!channels.has(key) && !privates.has(key))
        fail(`node ${name} writes ${key}, which is no channel`);
    }
  }
  for (const origin of [plan.start, ...nodes.values()]) {
    // All that follows by fixed edges is surely executed, and in the step that its distance says.
    let together = new Set(origin.next);
    for (let step = 0; step < nodes.size && together.size > 0; step++) {
      const writers = new Map<string, string>();
      const next = new Set<string>();
      for (const name of together) {
        const node = nodes.get(name);
        if (node === undefined || node.deferred) continue;
        for (const key of node.writes ?? []) {
          if (channels.get(key)?.kind !== "overwrite") continue;
          const other = writers.get(key);
          if (other !== undefined) {
            fail(
              `nodes ${other} and ${name} write channel ${key} in the same step: give it a reducer (append, sum, messages, reduced)`,
            );
          }
          writers.set(key, name);
        }
        for (const to of node.next) next.add(to);
      }
      together = next;
    }
  }
}

function targetsOf(exits: Exits | NodePlan | undefined): string[] {
  if (exits === undefined) return [];
  return [
    ...exits.next,
    ...exits.joins.map(({ to }) => to),
    ...exits.routes.flatMap(({ targets }) => targets),
    ...exits.ends.map((to) => (to === PARENT ? END : to)), // either way, the graph has ended
  ];
}

function reach(from: readonly string[], onward: (name: string) => readonly string[]): Set<string> {
  const reached = new Set(from);
  for (const name of reached) for (const next of onward(name)) reached.add(next);
  return reached;
}
