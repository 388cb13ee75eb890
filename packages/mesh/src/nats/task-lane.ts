import { PRIORITIES, escapeKey, type Priority } from "@plexus/core";

const SEPARATOR = "~"; // occurs in no token
const MAX_NAME = 255; // of a consumer: it names a directory of the broker

/** One queue among those of a capability: its tasks are taken in their order, and share its host's slots with the others. */
export interface TaskLane {
  readonly agent: string;
  readonly capability: string;
  readonly priority: Priority;
  /** As a token: escaped. */
  readonly tenant: string;
}

/** The name of a lane's consumer. */
export function laneName({ agent, capability, priority, tenant }: TaskLane): string {
  return [agent, capability, priority, tenant].join(SEPARATOR);
}

/** The lane that a consumer of this name serves; undefined: it serves none. */
export function laneOf(name: string): TaskLane | undefined {
  const [agent = "", capability = "", priority = "", tenant = ""] = name.split(SEPARATOR);
  if (!Object.hasOwn(PRIORITIES, priority)) return undefined;
  return { agent, capability, priority: priority as Priority, tenant };
}

/** A tenant as the token of its lane; hashed where the consumer's name would be longer than the broker allows. */
export function laneTenant(lane: Omit<TaskLane, "tenant">, tenant: string): string {
  return escapeKey(tenant, MAX_NAME - laneName({ ...lane, tenant: "" }).length);
}
