import { MeshError } from "@plexus/core";
import type { NodePlan, Plan } from "./plan.ts";
import type { Breakpoints, RunState, Task } from "./run.ts";
import { isOver } from "./task.ts";

/** Where a run pauses until `invoke(null, { thread })`, with its state there to be looked at and changed (`updateState`). */
export interface BreakpointOptions {
  /** Nodes that a run pauses before, once they are due; a subgraph's are called `<node>/<name>`, `*` is all of the graph. */
  readonly interruptBefore?: "*" | readonly string[];
  /** Nodes that a run pauses behind: when their step is complete, unless the run is over then. */
  readonly interruptAfter?: "*" | readonly string[];
}

/** The breakpoints that options name; undefined if they name none. Throws `code`, naming the culprit, for a node that is not there. */
export function breakpointsOf(
  plan: Plan,
  { interruptBefore, interruptAfter }: BreakpointOptions,
  code: "INVALID_CONTRACT" | "INVALID_INPUT",
): Breakpoints | undefined {
  if (interruptBefore === undefined && interruptAfter === undefined) return undefined;
  const before = [interruptBefore ?? []].flat();
  const after = [interruptAfter ?? []].flat();
  if (before.length === 0 && after.length === 0) return undefined;
  for (const name of [...before, ...after]) {
    if (name !== "*" && nodeAt(plan, name) === undefined) {
      throw new MeshError(
        code,
        `Graph ${plan.name}: a breakpoint is at ${name}, which is no node.`,
      );
    }
  }
  return { before, after };
}

function nodeAt(plan: Plan, name: string): NodePlan | undefined {
  const slash = name.indexOf("/");
  if (slash < 0) return plan.nodes.get(name);
  const nested = plan.nodes.get(name.slice(0, slash))?.nested;
  return nested && nodeAt(nested.plan, name.slice(slash + 1));
}

/** Whether a run pauses between two steps of the graph that is called `path` in the outermost one. */
export function pausesAt(
  { before, after }: Breakpoints,
  path: string,
  ended: readonly Task[],
  due: readonly Task[],
): boolean {
  const named = (names: readonly string[], { node }: Task): boolean =>
    names.includes(path + node) || (path === "" && names.includes("*"));
  return ended.some((task) => named(after, task)) || due.some((task) => named(before, task));
}

/** The nodes that breakpoints keep back, in the run and the subgraphs it is in. */
export function pausedNodes(run: RunState, path = ""): string[] {
  if (isOver(run)) return [];
  if (run.paused) return run.tasks.map(({ node }) => path + node);
  return run.tasks.flatMap(({ node, state }) =>
    state.is === "inside" ? pausedNodes(state.child, `${path}${node}/`) : [],
  );
}
