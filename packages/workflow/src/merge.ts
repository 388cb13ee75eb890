import { MeshError, isMeshError, toMeshError } from "@plexus/core";
import type { Plan } from "./plan.ts";
import type { RunState, Writes } from "./run.ts";
import { resultOf } from "./task.ts";

/** What one task of a step writes. */
export interface Contribution {
  /** Who it is from, for messages. */
  readonly from: string;
  readonly writes: Writes;
}

/** What the tasks of a complete step write. */
export function contributionsOf({ tasks }: RunState): Contribution[] {
  return tasks.map((task) => ({ from: task.node, writes: resultOf(task).writes }));
}

/**
 * Merges what a step's tasks have written, in their order. Throws `INVALID_OUTPUT` for two writes to an overwrite channel, and
 * `AGENT_FAILED` when a reducer throws; the state is unchanged then.
 */
export function mergeStep(plan: Plan, run: RunState, contributions: readonly Contribution[]): void {
  const [only] = contributions;
  const updates = new Map<string, unknown[]>();
  if (contributions.length === 1) {
    for (const key of Object.keys(only!.writes)) updates.set(key, [only!.writes[key]]);
  } else {
    const writers = new Map<string, string>();
    for (const { from, writes } of contributions) {
      for (const key of Object.keys(writes)) {
        const known = updates.get(key);
        if (known === undefined) updates.set(key, [writes[key]]);
        else if (plan.channels.get(key)?.kind === "overwrite") {
          const who =
            from === writers.get(key)
              ? `Node ${from}, twice,`
              : `Nodes ${writers.get(key)} and ${from}`;
          throw new MeshError(
            "INVALID_OUTPUT",
            `${who} wrote channel ${key} in step ${run.step} of graph ${plan.name}: give it a reducer (append, sum, messages, reduced).`,
            { details: { channel: key, nodes: [writers.get(key), from], step: run.step } },
          );
        } else known.push(writes[key]);
        if (!writers.has(key)) writers.set(key, from);
      }
    }
  }
  const merged: [string, unknown][] = [];
  for (const [key, list] of updates) {
    const channel = plan.channels.get(key);
    if (channel === undefined) {
      throw new MeshError("GRAPH_CHANGED", `Graph ${plan.name} has no channel ${key} any more.`);
    }
    try {
      merged.push([key, channel.merge(run.values[key], list)]);
    } catch (cause) {
      if (isMeshError(cause, "GRAPH_CHANGED")) throw cause;
      throw new MeshError(
        "AGENT_FAILED",
        `The reducer of channel ${key} threw ${toMeshError(cause).message}.`,
        { cause, details: { channel: key } },
      );
    }
  }
  for (const [key, value] of merged) run.values[key] = value;
}
