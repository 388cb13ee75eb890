import { entity, topic, type Duration, type Entity, type WireError } from "@plexus/core";
import { z } from "zod";
import type { BreakpointOptions } from "./breakpoint.ts";
import type { BusyPolicy } from "./busy.ts";
import type { Interrupt } from "./interrupt.ts";
import type { DurabilityMode } from "./run-log.ts";
import type { StreamItem, StreamMode } from "./stream.ts";

/** Somebody who wants to hear of a run while it is executed. */
export interface Watcher {
  /** Names the events that it hears. */
  readonly watch: string;
  readonly modes: readonly StreamMode[];
}

/** How long the owner may take for an answer; then it says how the run stands. */
interface Waits {
  readonly waitMs: number;
  readonly durability?: DurabilityMode;
  readonly watcher?: Watcher;
}

/** What the owner of a thread is told. */
export interface GraphCommands {
  invoke: Waits &
    BreakpointOptions & {
      readonly input: unknown;
      readonly busy?: BusyPolicy;
    };
  answer: Waits & BreakpointOptions & { readonly value: unknown; readonly interrupt?: string };
  signal: Waits & { readonly name: string; readonly value: unknown };
  goOn: Waits & BreakpointOptions;
  wait: Waits & { readonly run?: string };
  cancel: { readonly reason?: string; readonly run?: string };
  update: { readonly update: unknown };
  fork: { readonly from: string; readonly checkpoint?: number };
  state: { readonly checkpoint?: number };
  history: { readonly limit: number };
  describe: null;
}

/** How a run stands when the owner answers. `running`: it has taken longer than was waited. `failed`: or canceled. */
export interface Standing {
  readonly status: "completed" | "waiting" | "running" | "failed";
  /** Empty: the call has not been taken in yet, and is forgotten unless it is repeated. */
  readonly run: string;
  readonly output?: unknown;
  readonly interrupts: readonly Interrupt[];
  /** What is not said is too large for a message: it is read from what is recorded. */
  readonly large?: true;
  readonly error?: WireError;
  /** Nodes that a breakpoint keeps back. */
  readonly paused?: readonly string[];
}

/** What a graph looks like to those who do not have it. */
export interface GraphDescription {
  readonly name: string;
  readonly version: string;
  readonly hash: string;
  readonly mermaid: string;
  readonly drawing: string;
}

const PREFIX = "workflow-";
const anything = { input: z.unknown(), output: z.unknown() };
const command = (description: string) => ({ description, ...anything });

/** The threads of a graph as a contract: each has one owner at a time, who is told these commands. */
export function graphContract(graph: string, lease: Duration = "5s"): Entity {
  return entity(`${PREFIX}${graph}`, {
    description: `Threads of graph ${graph}`,
    lease,
    state: z.null(),
    initial: null,
    events: {},
    fold: {},
    commands: {
      invoke: command("Begins a run with an input"),
      answer: command("Answers an interrupt"),
      signal: command("Tells a run of an event"),
      goOn: command("Goes on with a run that has failed"),
      wait: command("Waits until the run is at rest"),
      cancel: command("Cancels the run"),
      update: command("Changes the state"),
      fork: command("Begins with the state of another thread"),
      state: command("Tells the state"),
      history: command("Tells the checkpoints"),
      describe: command("Tells what the graph looks like"),
    },
  });
}

/** The graph of a contract made by {@link graphContract}; undefined for any other contract's name. */
export function graphOf(contract: string): string | undefined {
  return contract.startsWith(PREFIX) ? contract.slice(PREFIX.length) : undefined;
}

/** Pieces of the streams of runs, for those who watch them: at most once, and numbered, so that a gap is seen. */
export const GraphStreams = topic("workflow-streams.{watch}", {
  description: "What runs of graphs tell while they are executed",
  schema: z.object({
    watch: z.string(),
    seq: z.number().int(),
    item: z.custom<StreamItem>(),
  }),
});
