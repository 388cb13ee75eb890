import { isMeshError, type ErrorCode, type MeshError } from "@plexus/core";
import { harmless, note, printJson } from "./output.ts";

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

/** The same, where a command is about graphs. */
const OF_GRAPHS: Partial<Record<ErrorCode, string>> = {
  NO_AGENT: "`plexus workflow serve <file>` hosts the graphs of a file.",
  NO_RUN: "`plexus workflow ls` shows what there is.",
  TIMEOUT: "Wait longer with --timeout.",
  MESSAGE_TOO_LARGE: "Name the graph's file in place of its name: then what is recorded is read.",
  GRAPH_CHANGED: "A migration says how a recorded state becomes one of the changed graph.",
  UNAUTHORIZED: REMEDIES.UNAUTHORIZED!,
  INCOMPATIBLE_BROKER: REMEDIES.INCOMPATIBLE_BROKER!,
};

const ownRemedies = new WeakMap<Error, string>();
const hints = new WeakMap<Error, readonly string[]>();
const facts = new WeakMap<Error, Readonly<Record<string, unknown>>>();

/** An error, and what to do about it: a sentence in place of the usual one. */
export function withRemedy(error: Error, remedy: string): Error {
  ownRemedies.set(error, remedy);
  return error;
}

/** An error, and what one may do next: lines that are shown behind it. */
export function withHints(error: unknown, lines: readonly string[]): unknown {
  if (error instanceof Error) hints.set(error, lines);
  return error;
}

/** What is shown behind an error. */
export function hintsOf(error: unknown): readonly string[] {
  return (error instanceof Error && hints.get(error)) || [];
}

/** An error, and what a program needs to know beside it: members of the JSON document, before the error. */
export function withFacts(error: unknown, known: Readonly<Record<string, unknown>>): unknown {
  if (error instanceof Error) facts.set(error, known);
  return error;
}

/** Reports why a command failed: one readable line on stderr, and its hints, or one JSON document on stdout. */
export function reportFailure(command: string, error: unknown, json: boolean): void {
  const { code, message, retryable } = describe(error);
  if (json) {
    const known = error instanceof Error ? facts.get(error) : undefined;
    printJson({ ...known, error: { code, message, retryable } });
    return;
  }
  // Agents tell what they take. Of anything else, the message says it all.
  const said = code === "INVALID_INPUT" && !/^plexus (call|task submit)\b/.test(command);
  const remedies = command.startsWith("plexus workflow") ? OF_GRAPHS : REMEDIES;
  const usual = isMeshError(error) && !said && !isOfRun(error) ? remedies[error.code] : undefined;
  const remedy = (error instanceof Error && ownRemedies.get(error)) || usual;
  const sentence = /[.!?]$/.test(message) ? message : `${message}.`;
  const text = remedy === undefined ? message : `${sentence} ${remedy}`;
  note(`${command}: ${code}: ${harmless(text)}`);
  for (const line of hintsOf(error)) note(line);
}

/** Whether a node has failed with it: then it is not about this command. */
export function isOfRun({ details }: MeshError): boolean {
  return typeof details === "object" && details !== null && "run" in details;
}

function describe(error: unknown): { code: string; message: string; retryable: boolean } {
  if (isMeshError(error)) return error;
  if (!(error instanceof Error))
    return { code: "FAILED", message: String(error), retryable: false };
  const code = "code" in error && typeof error.code === "string" ? error.code : "FAILED";
  const message = error.message.replace(`${code}: `, ""); // the system's errors begin with it
  return { code, message, retryable: false };
}
