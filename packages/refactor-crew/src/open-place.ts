import { FolderPlace } from "./folder-place.ts";
import type { CrewPlan } from "./plan.ts";
import type { Workplace } from "./workplace.ts";

/** The workplace of a run, for one agent. */
export async function openPlace(agent: string, plan: CrewPlan): Promise<Workplace> {
  return new FolderPlace(plan.out, agent);
}
