import { MeshError } from "@plexus/core";

const NO_MESSAGE = 10_037;
const IN_PROCESS = 10_158; // in a cluster: sent twice, and the first is not stored yet
const STREAM_NOT_FOUND = 10_059;
const UNDECIDED = 10_164; // refused as another conditional write of the subject is under way, or was a moment ago
const CONFLICTS = new Set([10_071, UNDECIDED]); // wrong last sequence, of the stream or of a subject
const STORE_FAILED = 10_077;
const FULL = new Set([10_002, 10_023, 10_028, 10_047, 10_077, 10_210, 10_211]); // no resources left; the stream's limits are reached; too many batches under way
const INCOMPLETE = 10_176; // a batch whose beginning the broker does not have (any more): nothing of it is stored
const REPEATED = 10_201; // a message of a batch is stored already, by its id

/**
 * True if a conditional write was refused without a look at its condition: in a cluster another one that names the same
 * subject is under way, or has just been confirmed. Nothing is stored; the same write may succeed a moment later. The one under
 * way may be an earlier attempt at this very write, which a leader that has lost its followers will never store.
 */
export function isUndecided(error: unknown): error is MeshError {
  return error instanceof MeshError && error.details === UNDECIDED;
}

/** True if a batch was refused as one of its messages is stored already. */
export function isRepeated(error: unknown): boolean {
  return error instanceof MeshError && error.details === REPEATED;
}

/** True if a request failed because there is no such message. */
export function isNoMessage(error: unknown): boolean {
  return error instanceof MeshError && error.details === NO_MESSAGE;
}

/** True if a request failed because there is no such stream, so nothing was ever stored in it. */
export function isNoStream(error: unknown): boolean {
  return error instanceof MeshError && error.details === STREAM_NOT_FOUND;
}

/** Of a write that was sent, and neither taken nor refused. */
export function unknownFate(why: string): MeshError {
  return new MeshError("TIMEOUT", `It may or may not be stored: ${why}.`);
}

/** What a refusal by the JetStream API means to us. */
export function apiError(what: string, text: string): MeshError {
  if (text === "") {
    return new MeshError(
      "NOT_CONNECTED",
      `${what}: no stream takes it, or JetStream is not ready.`,
    );
  }
  let error: { code?: number; err_code?: number; description?: string } = {};
  try {
    error = (JSON.parse(text) as { error?: typeof error }).error ?? {};
  } catch {
    // Not JSON: what it says goes into the message.
  }
  const { code: status = 0, err_code: code = 0, description = text.slice(0, 200) } = error;
  const options = { details: code };
  const taken = code === STORE_FAILED && description.includes("per subject"); // the stream keeps the first one
  if (taken || CONFLICTS.has(code))
    return new MeshError("CONFLICT", `${what}: ${description}.`, options);
  if (code === IN_PROCESS) return unknownFate(`${what}: a message of the same id is on its way`);
  if (FULL.has(code)) return new MeshError("OVERLOADED", `${what}: ${description}.`, options);
  // A broker that cannot now, as a cluster without a leader, can later.
  if (code === NO_MESSAGE || code === STREAM_NOT_FOUND || code === INCOMPLETE || status >= 500) {
    return new MeshError("NOT_CONNECTED", `${what}: ${description}.`, options);
  }
  return new MeshError("INCOMPATIBLE_BROKER", `${what}: ${description} (${code}).`, options);
}
