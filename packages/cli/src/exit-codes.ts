import { isMeshError, type ErrorCode } from "@plexus/core";

/** What the exit code of `plexus` says. */
export const EXIT = {
  ok: 0,
  failed: 1,
  usage: 2,
  notFound: 3,
  unavailable: 4,
  timeout: 5,
  /** A run of a graph waits for an answer or an event. */
  waiting: 6,
  interrupted: 130,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** Exit code of every error code. */
const EXIT_OF: Record<ErrorCode, ExitCode> = {
  NO_AGENT: EXIT.notFound,
  NO_CAPABILITY: EXIT.notFound,
  NO_TASK: EXIT.notFound,
  NO_RUN: EXIT.notFound,
  NO_TOPIC: EXIT.notFound,
  NO_JOURNAL: EXIT.notFound,
  NO_FILE: EXIT.notFound,
  NOT_CONNECTED: EXIT.unavailable,
  UNAUTHORIZED: EXIT.unavailable,
  INCOMPATIBLE_BROKER: EXIT.unavailable,
  TIMEOUT: EXIT.timeout,
  DEADLINE_EXCEEDED: EXIT.timeout,
  INVALID_INPUT: EXIT.failed,
  INVALID_OUTPUT: EXIT.failed,
  INVALID_CONTRACT: EXIT.failed,
  CANCELED: EXIT.failed,
  OVERLOADED: EXIT.failed,
  AGENT_FAILED: EXIT.failed,
  AGENT_LOST: EXIT.failed,
  MESSAGE_TOO_LARGE: EXIT.failed,
  UNENCODABLE: EXIT.failed,
  BAD_MESSAGE: EXIT.failed,
  INCOMPATIBLE_EVENT: EXIT.failed,
  COMPACTED: EXIT.failed,
  STREAM_GAP: EXIT.failed,
  CONFLICT: EXIT.failed,
  FENCED: EXIT.failed,
  DUPLICATE: EXIT.failed,
  GRAPH_CHANGED: EXIT.failed,
  STEP_LIMIT: EXIT.failed,
  RATE_LIMITED: EXIT.failed,
  MODEL_FAILED: EXIT.failed,
  BREAKER_OPEN: EXIT.failed,
  BUDGET_EXCEEDED: EXIT.failed,
};

/** The command line, or a file it names, makes no sense. */
export class UsageError extends Error {
  readonly code = "USAGE";
}

/** Somebody pressed Ctrl-C. */
export class Interrupted extends Error {
  readonly code = "INTERRUPTED";
}

/** The exit code for a thrown value. */
export function exitCodeOf(error: unknown): ExitCode {
  if (isMeshError(error)) return EXIT_OF[error.code];
  if (error instanceof UsageError) return EXIT.usage;
  if (error instanceof Interrupted) return EXIT.interrupted;
  return EXIT.failed;
}
