import type { RunStatus } from "./run.ts";

/**
 * What becomes of an input on a thread whose last run is not over. `reject`: `CONFLICT`. `enqueue`: its run begins when that one is
 * over. `interrupt`: that one ends at once, and the state stays as it has left it. `rollback`: that one is canceled, what it has done is
 * compensated, and the state is again what it was before.
 */
export type BusyPolicy = "reject" | "enqueue" | "interrupt" | "rollback";

/** What to do next about the input: begin its run, refuse it, wait for the other run to go on, or end that one. */
export type BusyDecision = "begin" | "refuse" | "wait" | "end" | "undo";

/** Decides by how the thread's last run stands; asked again whenever that has changed. */
export function onBusy(policy: BusyPolicy, status: RunStatus): BusyDecision {
  switch (status) {
    case "idle":
    case "completed":
    case "failed":
    case "canceled":
      return "begin";
    case "compensating": // is ending already, and nothing may end that
      return policy === "reject" ? "refuse" : "wait";
    case "running":
    case "waiting":
      return ({ reject: "refuse", enqueue: "wait", interrupt: "end", rollback: "undo" } as const)[
        policy
      ];
    default:
      return status satisfies never;
  }
}
