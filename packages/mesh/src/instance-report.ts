import type { describeAgent } from "@plexus/core";
import type { InstanceInfo } from "./directory.ts";
import type { RequestMetrics } from "./metrics.ts";

/** What an instance tells about itself on request, beyond its registry record. */
export interface InstanceReport extends InstanceInfo {
  readonly description: ReturnType<typeof describeAgent>;
  readonly running: number;
  readonly queued: number;
  /** Undefined for an agent that takes no tasks. */
  readonly tasks: { readonly running: number; readonly slots: number } | undefined;
  /** What an instance of an entity owns, and how many keys it has in memory; undefined for an agent. */
  readonly shards: { readonly partitions: number; readonly keys: number } | undefined;
  readonly draining: boolean;
  /** Of each capability or command. */
  readonly requests: RequestReport;
}

type RequestReport = Readonly<Record<string, { readonly ok: number; readonly meanMs: number }>>;

/** What became of the requests for each capability or command. */
export function requestReport(
  served: Iterable<{ readonly name: string; readonly metrics: RequestMetrics }>,
): RequestReport {
  const requests: Record<string, { ok: number; meanMs: number }> = {};
  for (const { name, metrics } of served) {
    const { count, sum } = metrics.duration;
    requests[name] = { ok: metrics.ok.value, meanMs: count === 0 ? 0 : (sum / count) * 1_000 };
  }
  return requests;
}
