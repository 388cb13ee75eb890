export type { Action } from "./action.ts";
export {
  conduct,
  type ConductOptions,
  type CrewOutcome,
  prepareFolder,
  prepareWorkspace,
} from "./crew.ts";
export { patient } from "./patient/patient.ts";
export { agentsOf, CrewPlan, MAX_AGENTS, MIN_AGENTS } from "./plan.ts";
export { score, type Loss, type Score } from "./score.ts";
export { uniform } from "./random.ts";
export type { Workplace } from "./workplace.ts";
