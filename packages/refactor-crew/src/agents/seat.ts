import type { Models } from "@plexus/llm";
import type { Mesh } from "@plexus/mesh";
import type { Board } from "../board.ts";
import type { CrewPlan } from "../plan.ts";
import type { Workplace } from "../workplace.ts";

/** What every agent has. */
export interface Seat {
  readonly place: Workplace;
  /** Undefined in a plain folder. */
  readonly mesh: Mesh | undefined;
  readonly board: Board;
  readonly plan: CrewPlan;
  /** Undefined: the environment names none, rules do all the work. */
  readonly models: Models | undefined;
  /** Fires when it is to leave. */
  readonly signal: AbortSignal;
}
