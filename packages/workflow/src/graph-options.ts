import type { Checkpointer } from "@plexus/core";
import type { BreakpointOptions } from "./breakpoint.ts";
import type { BusyPolicy } from "./busy.ts";
import type { Cache } from "./cache.ts";
import type { Listener } from "./driver.ts";
import type { Interrupt } from "./interrupt.ts";
import type { Migration } from "./migration.ts";
import type { DurabilityMode } from "./run-log.ts";

/** What a graph is executed with. */
export interface CompileOptions extends BreakpointOptions {
  /** Where runs are kept. Without one, a run lives as long as its `invoke`, and cannot wait for anybody. */
  readonly checkpointer?: Checkpointer;
  /** Default: what nodes with a `cache` policy return is kept in this process. */
  readonly cache?: Cache;
  /** How states of older versions become states of this one. */
  readonly migrations?: readonly Migration[];
  /** Milliseconds since the epoch. Default `Date.now`. */
  readonly now?: () => number;
  /** Numbers in [0, 1), for back-off. Default `Math.random`. */
  readonly random?: () => number;
}

/** How one call goes about it; breakpoints in place of those that the graph was compiled with. */
export interface InvokeOptions extends BreakpointOptions {
  /** The conversation that the run belongs to: a later run on it begins with the state that the last one has left. Default: a new one. */
  readonly thread?: string;
  /** Cancels the run: what it has done is compensated, and `invoke` rejects with `CANCELED`. */
  readonly signal?: AbortSignal;
  /** Default `async`. Means nothing without a checkpointer. */
  readonly durability?: DurabilityMode;
  /** What becomes of an input while another run is under way on the thread. Default `reject`. */
  readonly busy?: BusyPolicy;
  /** Of this call: repeated with the same id, it is not carried out once more, and has the same result. A run has the id of the call that began it. */
  readonly id?: string;
  /** Is told everything that happens meanwhile: for those who host graphs. `stream` is for those who use them. */
  readonly listener?: Listener;
  /** Ends the waiting for a turn, as the caller is not here any more: for those who host graphs, too. The run, if it has begun, goes on. */
  readonly detach?: AbortSignal;
  /** Is called when the call has been taken in, with the run that it is about: likewise. */
  readonly begun?: (run: string) => void;
}

/** What a run has come to. */
export interface RunResult<Output> {
  readonly thread: string;
  readonly run: string;
  /** `waiting`: for an answer or an event, of a compensation perhaps. A run that fails or is canceled rejects instead. */
  readonly status: "completed" | "waiting";
  /** The graph's output; while the run waits, the state as far as it is. */
  readonly output: Output;
  /** Questions to be answered by `invoke(new Command({ resume, interrupt }))`. */
  readonly interrupts: readonly Interrupt[];
  /** Nodes that a breakpoint keeps back until `invoke(null)`, if the run is at one. */
  readonly paused?: readonly string[];
  /** It waits for time to pass, too, and goes on by itself then: ms since the epoch. */
  readonly until?: number;
}
