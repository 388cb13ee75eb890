import type { Hosted } from "@plexus/mesh";
import type { RunPlan } from "../run-plan.ts";

/** What a role does in a run. One process plays one part in one run, from wherever its predecessors have brought it. */
export interface Part {
  /** Joins the mesh: from now on this instance is found and called. */
  host(): Promise<Hosted>;
  /** Begins to read what the others publish in this run, from the first event on. */
  prepare(plan: RunPlan): Promise<void>;
  /** Sources only: begins; slot 0 is due at `startAtUs`. */
  start?(startAtUs: number): void;
  /** Sources only: slots from this one on are not published. */
  stop?(limit: number): void;
  /** Ends what it has opened beside the mesh. */
  close?(): Promise<void>;
}
