import { MeshError, fromWireError, isMeshError } from "@plexus/core";
import { originalError } from "./execute.ts";
import type { RunState } from "./run.ts";

const failures = new WeakSet<MeshError>();

/** True for the error that a run has ended with, as opposed to one that kept it from going on. */
export function isFailure(error: unknown): error is MeshError {
  return isMeshError(error) && failures.has(error);
}

/** What a failed or canceled run rejects with: the error as it was thrown, if that was in this process, and where it stands. */
export function failure(thread: string, { error, run, step, uncompensated }: RunState): MeshError {
  const recorded = error ?? { code: "AGENT_FAILED", message: "unknown", retryable: false };
  const { code, message, retryable, details, cause } =
    originalError(recorded) ?? fromWireError(recorded);
  const told = new MeshError(code, message, {
    cause,
    retryable,
    details: {
      thread,
      run,
      step,
      ...(uncompensated.length > 0 ? { uncompensated } : {}),
      ...(isRecord(details) ? details : {}),
    },
  });
  failures.add(told);
  return told;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
