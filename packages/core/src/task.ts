import { toMs, type Duration } from "./duration.ts";
import { MeshError } from "./errors.ts";
import type { Backoff } from "./retry.ts";

/** Where a task stands, in the words of A2A 1.0. The last four are final. */
export type TaskState = "submitted" | "working" | "completed" | "failed" | "canceled" | "rejected";

/** The priorities, each with its share of the slots while all of them have work: none starves. */
export const PRIORITIES = { high: 8, normal: 4, low: 1 } as const;

export type Priority = keyof typeof PRIORITIES;

/** When a failed attempt is repeated. Only errors that are `retryable` are. */
export interface RetryPolicy {
  /** Attempts in all. Default 5. */
  readonly attempts?: number;
  /** Ceiling of the delay before the second attempt; the delay is drawn below it. Default 200 ms. */
  readonly first?: Duration;
  /** Ceiling of any delay. Default 30 s. */
  readonly max?: Duration;
  /** What each further ceiling is multiplied by. Default 2. */
  readonly factor?: number;
}

/** How a durable capability's tasks are executed. */
export interface Durability {
  readonly retry?: RetryPolicy;
  /** An instance that gives no sign of life for so long has lost its task to another one. Default 3 s. */
  readonly ackWait?: Duration;
  /** Tasks of one tenant that are worked on at a time, of each priority and in the whole mesh. Default: as many as there are slots. */
  readonly tenantConcurrency?: number;
  /** Deliveries after which a task is given up that keeps losing its instance. Default 10. */
  readonly deliveries?: number;
}

/** A retry policy with its defaults filled in. */
export interface ResolvedRetry {
  readonly attempts: number;
  readonly backoff: Backoff;
}

/** A {@link Durability} with its defaults filled in. */
export interface ResolvedDurability {
  readonly retry: ResolvedRetry;
  readonly ackWaitMs: number;
  readonly deliveries: number;
  /** Infinity: no bound. */
  readonly tenantConcurrency: number;
}

/** Whose a task is that names no tenant. */
export const DEFAULT_TENANT = "default";

const MIN_ACK_WAIT_MS = 300;

/** Fills in the defaults. Throws `INVALID_CONTRACT` for what is out of range. */
export function resolveRetry(policy: RetryPolicy = {}): ResolvedRetry {
  const { attempts = 5, first = "200ms", max = "30s", factor = 2 } = policy;
  const backoff = { firstMs: toMs(first), maxMs: toMs(max), factor };
  demand(Number.isInteger(attempts) && attempts >= 1, "retry.attempts must be 1 or more");
  demand(factor >= 1 && Number.isFinite(factor), "retry.factor must be 1 or more");
  return { attempts, backoff };
}

/** Fills in the defaults. Throws `INVALID_CONTRACT` for what is out of range. */
export function resolveDurability(durable: true | Durability): ResolvedDurability {
  const options = durable === true ? {} : durable;
  const { retry, ackWait = "3s", deliveries = 10, tenantConcurrency = Infinity } = options;
  const ackWaitMs = toMs(ackWait);
  demand(ackWaitMs >= MIN_ACK_WAIT_MS, `ackWait must be at least ${MIN_ACK_WAIT_MS} ms`);
  demand(Number.isInteger(deliveries) && deliveries >= 1, "deliveries must be 1 or more");
  demand(
    tenantConcurrency === Infinity ||
      (Number.isInteger(tenantConcurrency) && tenantConcurrency >= 1),
    "tenantConcurrency must be 1 or more",
  );
  return { retry: resolveRetry(retry), ackWaitMs, deliveries, tenantConcurrency };
}

function demand(condition: boolean, text: string): void {
  if (!condition) throw new MeshError("INVALID_CONTRACT", `durable: ${text}.`);
}
