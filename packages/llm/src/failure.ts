import { MeshError, type ErrorCode } from "@plexus/core";

/** How a call of a model can fail. The README's table says what each means for breaker, retry, fallback and charge. */
export type FailureKind =
  | "auth"
  | "rateLimit"
  | "server"
  | "network"
  | "timeout"
  | "deadline"
  | "malformed"
  | "structure"
  | "stream"
  | "stall"
  | "aborted"
  | "refused"
  | "request";

/** What follows from a failure. */
export interface FailureRule {
  readonly code: ErrorCode;
  /** What the breaker of the deployment makes of it. */
  readonly breaker: "failure" | "neutral";
  /** The same deployment may be asked once more, if no other one is left. */
  readonly retry: boolean;
  /** Another deployment of the group is asked, then the groups it falls back to. */
  readonly fallback: boolean;
  /** What the attempt is charged: what the provider said, what it may have counted, or nothing. */
  readonly charge: "usage" | "estimate" | "nothing";
}

export const FAILURES: Readonly<Record<FailureKind, FailureRule>> = {
  auth: rule("UNAUTHORIZED", "neutral", false, true, "nothing"),
  rateLimit: rule("RATE_LIMITED", "neutral", false, true, "nothing"),
  server: rule("MODEL_FAILED", "failure", true, true, "nothing"),
  network: rule("MODEL_FAILED", "failure", true, true, "nothing"),
  timeout: rule("TIMEOUT", "failure", true, true, "estimate"),
  // The caller's patience, not the deployment's: however short it is, it must not trip the breaker of others.
  deadline: rule("TIMEOUT", "neutral", false, false, "estimate"),
  malformed: rule("MODEL_FAILED", "failure", true, true, "nothing"),
  structure: rule("INVALID_OUTPUT", "neutral", false, true, "usage"),
  stream: rule("MODEL_FAILED", "failure", true, true, "estimate"),
  stall: rule("TIMEOUT", "failure", true, true, "estimate"),
  aborted: rule("CANCELED", "neutral", false, false, "estimate"),
  refused: rule("MODEL_FAILED", "neutral", false, true, "usage"),
  request: rule("INVALID_INPUT", "neutral", false, false, "nothing"),
};

/** What one attempt at one deployment failed with. Never leaves the package: callers see a `MeshError`. */
export class Failure extends Error {
  override readonly name = "Failure";
  readonly kind: FailureKind;
  /** How long the provider wants to be left alone. */
  readonly retryAfterMs: number | undefined;
  /** HTTP status, if there was one. */
  readonly status: number | undefined;

  constructor(
    kind: FailureKind,
    message: string,
    options: {
      cause?: unknown;
      retryAfterMs?: number | undefined;
      status?: number | undefined;
    } = {},
  ) {
    super(message, { cause: options.cause });
    this.kind = kind;
    this.retryAfterMs = options.retryAfterMs;
    this.status = options.status;
  }

  get rule(): FailureRule {
    return FAILURES[this.kind];
  }

  /** As callers see it. */
  toMeshError(model: string): MeshError {
    const { code } = this.rule;
    const details = {
      model,
      kind: this.kind,
      ...(this.status === undefined ? {} : { status: this.status }),
      ...(this.retryAfterMs === undefined ? {} : { retryAfterMs: this.retryAfterMs }),
    };
    return new MeshError(code, `Model ${model}: ${this.message}`, {
      cause: this.cause ?? this,
      details,
      ...(code === "TIMEOUT" ? { retryable: true } : {}), // asking a model again harms nobody
    });
  }
}

/** What an HTTP status means. */
export function kindOfStatus(status: number): FailureKind {
  if (status === 401 || status === 403) return "auth";
  if (status === 429) return "rateLimit";
  if (status === 408 || status >= 500) return "server";
  return status >= 400 ? "request" : "malformed";
}

/**
 * What a `Retry-After` header asks for, in ms: seconds or a date (RFC 9110, 10.2.3), or `retry-after-ms`, which some providers
 * send. Undefined: it asks for nothing that can be understood.
 */
export function retryAfterMs(
  headers: Readonly<Record<string, string>> | undefined,
  nowMs: number,
): number | undefined {
  const exact = Number(headers?.["retry-after-ms"] ?? Number.NaN);
  if (exact >= 0) return exact;
  const text = headers?.["retry-after"];
  if (text === undefined || text.trim() === "") return undefined;
  const seconds = Number(text);
  if (seconds >= 0) return seconds * 1_000;
  const date = Date.parse(text);
  return Number.isNaN(date) ? undefined : Math.max(0, date - nowMs);
}

function rule(
  code: ErrorCode,
  breaker: FailureRule["breaker"],
  retry: boolean,
  fallback: boolean,
  charge: FailureRule["charge"],
): FailureRule {
  return { code, breaker, retry, fallback, charge };
}
