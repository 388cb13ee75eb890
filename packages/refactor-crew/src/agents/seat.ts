import type { Models } from "@plexus/llm";
import type { Board } from "../board.ts";
import type { CrewPlan } from "../plan.ts";
import type { Workplace } from "../workplace.ts";

/** What every agent has. */
export interface Seat {
  readonly place: Workplace;
  readonly board: Board;
  readonly plan: CrewPlan;
  /** Undefined: the environment names none, rules do all the work. */
  readonly models: Models | undefined;
  /** Fires when it is to leave. */
  readonly signal: AbortSignal;
}
