import { MeshError, type WireError } from "@plexus/core";
import type { Board } from "./board.ts";
import type { RunState } from "./run.ts";
import { childOf } from "./task.ts";

/** Processes that may end over a run, one after the other, before it fails. */
const MAX_TAKEOVERS = 10;

/**
 * Another process has ended while it executed something of the run, and nothing was recorded since the one before did. What one process
 * after the other dies of is not executed for ever: then its tasks fail, with the error that is returned.
 */
export function countTakeover(run: RunState, board: Board): WireError | undefined {
  if (++run.takeovers < MAX_TAKEOVERS) return undefined;
  run.takeovers = 0;
  const open = run.tasks.filter(
    ({ state: { is } }) => is === "running" || is === "leaving" || is === "inside",
  );
  const nodes = open.map(({ node }) => node).join(", ");
  const text = `${MAX_TAKEOVERS} processes have ended, one after the other, while they executed ${nodes}.`;
  const error = new MeshError("AGENT_LOST", text, { retryable: false }).toJSON();
  for (const task of open) {
    const child = childOf(task);
    if (task.state.is === "inside") board.busy++;
    board.end(task, { is: "failed", error, ...(child ? { child } : {}) });
  }
  return error;
}
