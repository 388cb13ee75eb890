import { inspect } from "node:util";

const MAX_MESSAGE = 8_192;
const MAX_QUOTED = 100;

/**
 * Every code a Plexus error can carry, whether repeating the same request is safe by default, and what it means.
 * The codes are part of the wire contract: they never change meaning.
 */
export const ERROR_CODES = {
  NO_AGENT: { retryable: true, meaning: "No live instance of the agent is in the mesh." },
  NO_TASK: { retryable: false, meaning: "No such task: never submitted, or no longer kept." },
  NO_TOPIC: { retryable: false, meaning: "No such durable topic: nothing was ever stored there." },
  NO_JOURNAL: { retryable: false, meaning: "No such journal: nothing was ever recorded there." },
  NO_FILE: {
    retryable: false,
    meaning: "No such file, or version of it, in this workspace.",
  },
  NO_RUN: {
    retryable: false,
    meaning: "No such run: never begun, or nothing of it is left to do.",
  },
  NO_CAPABILITY: { retryable: false, meaning: "The agent is there but does not offer it." },
  INVALID_INPUT: { retryable: false, meaning: "The input does not match the contract's schema." },
  INVALID_OUTPUT: { retryable: false, meaning: "The answer does not match the contract's schema." },
  INVALID_CONTRACT: { retryable: false, meaning: "A contract or option is malformed." },
  TIMEOUT: { retryable: false, meaning: "No answer in time; the handler may still have run." },
  DEADLINE_EXCEEDED: { retryable: false, meaning: "The deadline passed before the handler began." },
  CANCELED: { retryable: false, meaning: "The caller gave up or the host is shutting down." },
  OVERLOADED: { retryable: true, meaning: "Every slot and queue place is taken; nothing has run." },
  AGENT_FAILED: { retryable: false, meaning: "The handler threw an error of its own." },
  AGENT_LOST: { retryable: false, meaning: "The instance vanished with the request in flight." },
  NOT_CONNECTED: { retryable: true, meaning: "There was no connection to the broker." },
  MESSAGE_TOO_LARGE: {
    retryable: false,
    meaning: "Larger than the broker's max_payload; not sent.",
  },
  UNENCODABLE: { retryable: false, meaning: "The value holds something that cannot travel." },
  BAD_MESSAGE: {
    retryable: false,
    meaning: "The bytes are not an envelope this version can read.",
  },
  INCOMPATIBLE_EVENT: {
    retryable: false,
    meaning: "A stored event does not fit the contract: unknown, or no upcaster brings it up.",
  },
  COMPACTED: {
    retryable: false,
    meaning: "Events that this needs were purged when the journal was compacted.",
  },
  STREAM_GAP: { retryable: false, meaning: "A chunk of a stream was lost." },
  CONFLICT: { retryable: true, meaning: "Somebody else changed the same thing first." },
  FENCED: { retryable: false, meaning: "A newer owner exists; this one may no longer write." },
  DUPLICATE: { retryable: false, meaning: "The same thing has already been recorded." },
  GRAPH_CHANGED: {
    retryable: false,
    meaning: "The run was recorded under a graph that this one cannot go on with.",
  },
  STEP_LIMIT: { retryable: false, meaning: "A workflow has taken more steps than it may." },
  UNAUTHORIZED: { retryable: false, meaning: "The sender lacks the permission." },
  RATE_LIMITED: { retryable: true, meaning: "A rate limit is used up for now." },
  MODEL_FAILED: { retryable: true, meaning: "The model's provider failed, or answered nonsense." },
  BREAKER_OPEN: { retryable: true, meaning: "The circuit breaker refuses calls for now." },
  BUDGET_EXCEEDED: { retryable: false, meaning: "The budget does not cover it." },
  INCOMPATIBLE_BROKER: { retryable: false, meaning: "The broker lacks a feature Plexus needs." },
} as const satisfies Record<string, { retryable: boolean; meaning: string }>;

/** The string literal union of {@link ERROR_CODES}. */
export type ErrorCode = keyof typeof ERROR_CODES;

/** The shape of an error inside an `error` envelope. */
export interface WireError {
  code: string;
  message: string;
  retryable: boolean;
  details?: unknown;
}

/** Options of {@link MeshError}: `retryable` overrides the code's default. */
export interface MeshErrorOptions {
  cause?: unknown;
  retryable?: boolean;
  details?: unknown;
}

/**
 * The one error class of Plexus. `code` says what went wrong, `retryable` whether repeating the request is safe,
 * the message what happened to what and what to do. Nobody needs to parse the message.
 */
export class MeshError extends Error {
  override readonly name = "MeshError";
  readonly code: ErrorCode;
  readonly retryable: boolean;
  readonly details: unknown;

  constructor(code: ErrorCode, message: string, options: MeshErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.retryable = options.retryable ?? ERROR_CODES[code].retryable;
    this.details = options.details;
  }

  /** What travels. A message of more than 8,192 characters is cut, so that the error itself always fits. */
  toJSON(): WireError {
    const { code, retryable, details } = this;
    const message = clip(this.message, MAX_MESSAGE);
    return details === undefined
      ? { code, message, retryable }
      : { code, message, retryable, details };
  }
}

/** True for a {@link MeshError}, of the given code if one is given. */
export function isMeshError(error: unknown, code?: ErrorCode): error is MeshError {
  try {
    return error instanceof MeshError && (code === undefined || error.code === code);
  } catch {
    return false; // of a proxy that was revoked, even that cannot be told
  }
}

/** Any thrown value as a MeshError: a handler's own error becomes `AGENT_FAILED` with that error as its cause. */
export function toMeshError(error: unknown): MeshError {
  if (isMeshError(error)) return error;
  return new MeshError("AGENT_FAILED", describeThrown(error), { cause: error });
}

/**
 * Rebuilds the error that {@link MeshError.toJSON} described. An unknown code (a newer peer's) is `AGENT_FAILED`, what
 * is no error at all `BAD_MESSAGE`. Texts are cut to a readable length, whatever a peer sends.
 */
export function fromWireError(wire: unknown): MeshError {
  if (typeof wire !== "object" || wire === null) {
    return new MeshError("BAD_MESSAGE", "An error envelope without a readable error arrived.");
  }
  const { code, message, retryable, details } = wire as Partial<Record<keyof WireError, unknown>>;
  const options = { details, ...(typeof retryable === "boolean" ? { retryable } : {}) };
  const text = clip(typeof message === "string" ? message : "no message", MAX_MESSAGE);
  if (typeof code === "string" && Object.hasOwn(ERROR_CODES, code)) {
    return new MeshError(code as ErrorCode, text, options);
  }
  const name = typeof code === "string" ? clip(code, MAX_QUOTED) : "no code";
  return new MeshError("AGENT_FAILED", `${name}: ${text}`, options);
}

/** A value as it may stand in a message, whatever it is and however long. */
export function quote(value: unknown): string {
  return typeof value === "string"
    ? JSON.stringify(clip(value, MAX_QUOTED))
    : clip(inspect(value, { depth: 1 }), MAX_QUOTED);
}

function describeThrown(error: unknown): string {
  try {
    return error instanceof Error
      ? `${error.name}: ${error.message}`
      : `threw ${inspect(error, { depth: 1 })}`;
  } catch {
    return "threw something that cannot be described"; // its getters or its toString throw
  }
}

function clip(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length)}…`;
}
