import { isMeshError } from "@plexus/core";
import type { InstanceReport } from "./instance-report.ts";
import { laneName, type TaskLane } from "./nats/task-lane.ts";
import type { TaskStore } from "./nats/task-store.ts";
import { OWN_LANE } from "./task-placement.ts";

/** What one instance has to do at the moment. */
export interface InstanceLoad {
  readonly agent: string;
  readonly instance: string;
  readonly weight: number;
  /** Calls being handled and waiting for a slot. */
  readonly calls: { readonly running: number; readonly queued: number; readonly slots: number };
  /** Tasks being worked on; undefined for an agent that takes none. */
  readonly tasks: { readonly running: number; readonly slots: number } | undefined;
  /** Tasks that were placed on it and wait. */
  readonly placed: number;
  readonly draining: boolean;
}

/** What waits in one queue that several instances pull from. */
export interface LaneLoad {
  readonly agent: string;
  readonly capability: string;
  readonly priority: string;
  /** Undefined for the lane of an instance that is gone, which the others are emptying. */
  readonly tenant: string | undefined;
  readonly waiting: number;
  readonly working: number;
}

/** How an agent's work is spread. */
export interface Balance {
  readonly instances: readonly InstanceLoad[];
  readonly lanes: readonly LaneLoad[];
}

/** Puts together what the instances say of themselves and what the broker says of their queues. */
export async function balanceOf(
  store: TaskStore,
  agents: readonly string[],
  reports: readonly InstanceReport[],
): Promise<Balance> {
  const lanes = (await Promise.all(agents.map((agent) => lanesOf(store, agent)))).flat();
  const loads = await Promise.all(lanes.map((lane) => store.laneLoad(laneName(lane))));
  const placed = new Map<string, number>();
  const alive = new Set(reports.map(({ instance }) => instance));
  const shared: LaneLoad[] = [];
  for (const [i, { agent, capability, priority, tenant }] of lanes.entries()) {
    const { waiting, working } = loads[i]!;
    const instance = tenant.startsWith(OWN_LANE) ? tenant.slice(OWN_LANE.length) : undefined;
    if (instance !== undefined && alive.has(instance)) {
      placed.set(instance, (placed.get(instance) ?? 0) + waiting);
      continue;
    }
    const whose = instance === undefined ? tenant : undefined;
    if (waiting + working > 0) {
      shared.push({ agent, capability, priority, tenant: whose, waiting, working });
    }
  }
  return {
    instances: reports.map((report) => ({
      agent: report.agent,
      instance: report.instance,
      weight: report.weight,
      calls: { running: report.running, queued: report.queued, slots: report.concurrency },
      tasks: report.tasks,
      placed: placed.get(report.instance) ?? 0,
      draining: report.draining,
    })),
    lanes: shared,
  };
}

/** None where no task was ever submitted. */
async function lanesOf(store: TaskStore, agent: string): Promise<TaskLane[]> {
  try {
    return await store.lanes(agent);
  } catch (error) {
    if (isMeshError(error, "NOT_CONNECTED")) return [];
    throw error;
  }
}
