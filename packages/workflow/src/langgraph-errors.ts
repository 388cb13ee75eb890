import { MeshError, isMeshError, type ErrorCode } from "@plexus/core";

/** LangGraph's errors by name, since an error may come from another copy of the package. */
const CODES: Readonly<Record<string, ErrorCode>> = {
  GraphRecursionError: "STEP_LIMIT",
  NodeTimeoutError: "TIMEOUT",
  EmptyInputError: "INVALID_INPUT",
  InvalidUpdateError: "INVALID_OUTPUT",
};

/**
 * What a graph has thrown as an error of the mesh: `STEP_LIMIT`, `TIMEOUT` of a node, `INVALID_INPUT` for an empty input, `INVALID_OUTPUT`
 * for an update that no channel takes, a node's own MeshError as it is, and `AGENT_FAILED` for everything else. `details` says which
 * thread and node, if that is known, and LangGraph's own code.
 */
export function toCoded(error: unknown, thread: string, node: string | undefined): MeshError {
  const { name, message } = error instanceof Error ? error : new Error(String(error));
  const known = Object.hasOwn(CODES, name) ? CODES[name] : undefined;
  const details = { thread, ...(node === undefined ? {} : { node }), ...ownCode(error) };
  if (isMeshError(error)) {
    const own = typeof error.details === "object" ? error.details : { reason: error.details };
    const { code, retryable } = error;
    return new MeshError(code, message, {
      cause: error,
      retryable,
      details: { ...details, ...own },
    });
  }
  const what = known === undefined ? `${name}: ${message}` : message.split("\n\n", 1)[0]!;
  const told = node === undefined ? what : `Node ${node}: ${what}`;
  return new MeshError(known ?? "AGENT_FAILED", told, { cause: error, details });
}

function ownCode(error: unknown): { readonly langgraph?: string } {
  const code = (error as { lc_error_code?: unknown } | null | undefined)?.lc_error_code;
  return typeof code === "string" ? { langgraph: code } : {};
}
