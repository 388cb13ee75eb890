import { MeshError, isMeshError, type ErrorCode } from "@plexus/core";

/** LangGraph's errors by name, since an error may come from another copy of the package. */
const CODES: Readonly<Record<string, ErrorCode>> = {
  GraphRecursionError: "STEP_LIMIT",
  NodeTimeoutError: "TIMEOUT",
  InvalidUpdateError: "INVALID_OUTPUT",
};
/** The code of an interrupt in a graph that cannot wait. */
const NO_CHECKPOINTER = "MISSING_CHECKPOINTER";

/**
 * What a graph has thrown as an error of the mesh: `STEP_LIMIT`, `TIMEOUT` of a node, `INVALID_OUTPUT` for an update that no
 * channel takes, `INVALID_CONTRACT` for an interrupt without a checkpointer, a node's own MeshError as it is, and `AGENT_FAILED` for everything else. `details` says which
 * thread and node, if that is known, and LangGraph's own code.
 */
export function toCoded(error: unknown, thread: string, node: string | undefined): MeshError {
  const { name, message } = error instanceof Error ? error : new Error(String(error));
  const own = ownCode(error);
  const named = Object.hasOwn(CODES, name) ? CODES[name] : undefined;
  const known = own.langgraph === NO_CHECKPOINTER ? "INVALID_CONTRACT" : named;
  const details = { thread, ...(node === undefined ? {} : { node }), ...own };
  if (isMeshError(error)) {
    const { code, retryable } = error;
    const theirs = typeof error.details === "object" ? error.details : { told: error.details };
    const whole = { ...details, ...(error.details === undefined ? {} : theirs) };
    return new MeshError(code, message, { cause: error, retryable, details: whole });
  }
  // LangGraph's own errors end with a link to their explanation.
  const text = own.langgraph === undefined ? message : message.split("\n\n", 1)[0]!;
  const what = known === undefined ? `${name}: ${text}` : text;
  const told = node === undefined ? what : `Node ${node}: ${what}`;
  return new MeshError(known ?? "AGENT_FAILED", told, { cause: error, details });
}

function ownCode(error: unknown): { readonly langgraph?: string } {
  const code = (error as { lc_error_code?: unknown } | null | undefined)?.lc_error_code;
  return typeof code === "string" ? { langgraph: code } : {};
}
