import type { Hosted } from "@plexus/mesh";
import type { RunPlan } from "../run-plan.ts";

/** What a role does in a run. One process plays one part in one run. */
export interface Part {
  /** Joins the mesh: from now on this instance is found and called. */
  host(): Promise<Hosted>;
  /** Resolves when this process will miss nothing of what the others send from now on. */
  prepare(plan: RunPlan): Promise<void>;
  /** Sources only: begins; slot 0 is due at `startAtUs`. */
  start?(startAtUs: number): void;
  /** Sources only: slots from this one on are not published. */
  stop?(limit: number): void;
  /** Everything is processed; hands in what the desk still needs. */
  finish?(): Promise<void>;
}
