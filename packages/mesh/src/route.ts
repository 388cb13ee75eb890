import { MeshError, toMs, type Capability, type Duration, type Placement } from "@plexus/core";
import type { Peer } from "./directory.ts";
import type { RequestMetrics } from "./metrics.ts";
import type { Runtime } from "./runtime.ts";

/** Options of one call. */
export interface CallOptions {
  /** How long to wait in all. Default: the capability's timeout, else 30 s; never longer than the running handler may. */
  readonly timeout?: Duration;
  /** Give up on one instance after this long and try another; only for idempotent capabilities. */
  readonly attemptTimeout?: Duration;
  /** Cancels the call, and the handler with it. */
  readonly signal?: AbortSignal;
  /** What the call is about; `consistentHash` placement sends equal keys to one instance. */
  readonly key?: string;
  /** Ignore the deadline and cancellation of the handler this call is made from. Default false. */
  readonly detached?: boolean;
}

const DEFAULT_TIMEOUT_MS = 30_000;

/** One capability of one contract, as this process calls it. */
export interface Route {
  readonly runtime: Runtime;
  readonly agent: string;
  readonly name: string;
  readonly capability: Capability;
  readonly placement: Placement;
  readonly metrics: RequestMetrics;
  readonly subjects: WeakMap<Peer, string>;
  readonly timeoutMs: number;
}

/** The time a call may take by its capability's contract. */
export function routeTimeoutMs(capability: Capability): number {
  return capability.timeout === undefined ? DEFAULT_TIMEOUT_MS : toMs(capability.timeout);
}

/** Parses an answer by the contract. Throws `INVALID_OUTPUT`. */
export function checkOutput(route: Route, value: unknown): unknown {
  const result = route.capability.output.safeParse(value);
  if (result.success) return result.data;
  throw new MeshError(
    "INVALID_OUTPUT",
    `${route.agent}.${route.name} answered outside its contract: ${explain(result.error)}`,
    { details: result.error.issues },
  );
}

/** The issues of a failed parse on one line. */
export function explain(error: {
  issues: readonly { path: readonly PropertyKey[]; message: string }[];
}): string {
  return error.issues
    .slice(0, 5)
    .map(
      ({ path, message }) =>
        `${path.length > 0 ? `${path.map(String).join(".")}: ` : ""}${message}`,
    )
    .join("; ");
}

/** Of an answer that cannot even be read. */
export function badAnswer(route: Route, cause: unknown): MeshError {
  return new MeshError("INVALID_OUTPUT", `${route.agent}.${route.name}: ${String(cause)}`, {
    cause,
  });
}
