import { MeshError, token } from "@plexus/core";

/** Which dead letters, or tasks, and how many of them. */
export interface ListOptions {
  readonly agent?: string;
  readonly capability?: string;
  /** The newest so many. Default 100, at most 10,000. */
  readonly limit?: number;
  readonly signal?: AbortSignal;
}

const DEFAULT_LIMIT = 100;
const MAX_LIMIT = 10_000;
/** What the options mean; `agent` and `capability` as parts of a subject. */
export function checkListOptions({
  agent,
  capability,
  limit = DEFAULT_LIMIT,
  signal,
}: ListOptions): {
  agent: string;
  capability: string;
  limit: number;
  signal: AbortSignal | undefined;
} {
  if (!Number.isInteger(limit) || limit < 1 || limit > MAX_LIMIT) {
    throw new MeshError("INVALID_INPUT", `limit must be a whole number from 1 to ${MAX_LIMIT}.`);
  }
  return {
    agent: agent === undefined ? "*" : token("Agent", agent),
    capability: capability === undefined ? "*" : token("Capability", capability),
    limit,
    signal,
  };
}
