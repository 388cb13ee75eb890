import { isMeshError, type ErrorCode } from "@plexus/core";
import { note, printJson } from "./output.ts";

/** What to do about an error, where its message does not say so itself. */
const REMEDIES: Partial<Record<ErrorCode, string>> = {
  NO_AGENT: "`plexus agents ls` shows who is there.",
  NO_CAPABILITY: "`plexus agents inspect <agent>` shows what it offers.",
  NO_TASK: "`plexus task ls` and `plexus dlq ls` show what there is.",
  NO_TOPIC: "`plexus topic ls` shows what there is.",
  NO_FILE: "`plexus workspace ls <workspace>` shows what there is.",
  INVALID_INPUT: "`plexus agents inspect <agent>` shows what it takes.",
  UNAUTHORIZED: "Put credentials into --server: nats://user:password@host:4222.",
  INCOMPATIBLE_BROKER: "`plexus doctor` shows what the broker lacks.",
  TIMEOUT: "Wait longer with --timeout.",
  OVERLOADED: "Try again, or add replicas.",
};

/** Reports why a command failed: one readable line on stderr, or one JSON document on stdout. */
export function reportFailure(command: string, error: unknown, json: boolean): void {
  const { code, message, retryable } = describe(error);
  if (json) {
    printJson({ error: { code, message, retryable } });
    return;
  }
  // What agents take is not what a workspace takes: there the message says it all.
  const said = code === "INVALID_INPUT" && command.startsWith("plexus workspace");
  const remedy = isMeshError(error) && !said ? REMEDIES[error.code] : undefined;
  const sentence = /[.!?]$/.test(message) ? message : `${message}.`;
  note(`${command}: ${code}: ${remedy === undefined ? message : `${sentence} ${remedy}`}`);
}

function describe(error: unknown): { code: string; message: string; retryable: boolean } {
  if (isMeshError(error)) return error;
  if (!(error instanceof Error))
    return { code: "FAILED", message: String(error), retryable: false };
  const code = "code" in error && typeof error.code === "string" ? error.code : "FAILED";
  return { code, message: error.message, retryable: false };
}
