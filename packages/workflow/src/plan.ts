import type { ResolvedRetry } from "@plexus/core";
import type { z } from "zod";
import type { Channel } from "./channel.ts";
import type { Goto } from "./command.ts";
import type { NodeContext, RouteContext } from "./context.ts";

/** A compiled graph: what the engine and whoever draws it go by. */
export interface Plan {
  readonly name: string;
  readonly version: string;
  /** Of everything that a recorded run depends on; equal graphs have equal hashes in every process. */
  readonly hash: string;
  /** By key: a public channel's name, or `<node>.<name>` for a private one. */
  readonly channels: ReadonlyMap<string, Channel>;
  readonly publicKeys: readonly string[];
  readonly nodes: ReadonlyMap<string, NodePlan>;
  readonly start: Exits;
  readonly input: z.ZodType | undefined;
  readonly output: z.ZodType | undefined;
  /** A run that takes more steps fails with `STEP_LIMIT`. */
  readonly maxSteps: number;
  /** Executions of one step at a time. */
  readonly maxConcurrency: number;
}

/** Where one goes from a node, or from START. */
export interface Exits {
  /** Fixed edges. */
  readonly next: readonly string[];
  /** Joins that wait for this node, among others. */
  readonly joins: readonly Join[];
  readonly routes: readonly Route[];
  /** What a node may name in a {@link Command}. */
  readonly ends: readonly string[];
}

/** An edge from several nodes: `to` is due when all of `from` have been executed. */
export interface Join {
  readonly key: string;
  readonly from: readonly string[];
  readonly to: string;
}

/** Names a join in what is recorded. */
export function joinKey(from: readonly string[], to: string): string {
  return `${from.join("+")}>${to}`;
}

/** A conditional edge. */
export interface Route {
  readonly targets: readonly string[];
  /** Names of the targets by what the router returns, where that is not the target itself. */
  readonly labels: ReadonlyMap<string, string>;
  decide(state: unknown, context: RouteContext): Goto | Promise<Goto>;
}

/** How a node's failures are tolerated. */
export interface Tolerance {
  /** Failed executions of the node in one step that the run survives. */
  readonly atMost: number;
  instead(error: unknown, input: unknown): unknown;
}

/** A subgraph and what connects it with the graph around it. */
export interface Nested {
  readonly plan: Plan;
  input(state: unknown): unknown;
  output(output: unknown, state: unknown): unknown;
}

/** How results of a node are kept. */
export interface CachePlan {
  readonly ttlMs: number;
  key(input: unknown): string;
}

/** A node, with all defaults filled in. */
export interface NodePlan extends Exits {
  readonly name: string;
  readonly run: ((input: unknown, context: NodeContext) => unknown) | undefined;
  readonly nested: Nested | undefined;
  /** Checks and narrows what the node is given. */
  readonly input: z.ZodType | undefined;
  /** The channels it may write; undefined: any. */
  readonly writes: ReadonlySet<string> | undefined;
  /** Its private channels: key by name. */
  readonly privates: ReadonlyMap<string, string>;
  readonly deferred: boolean;
  readonly concurrency: number;
  /** Executions in one run. */
  readonly maxVisits: number;
  readonly retry: (ResolvedRetry & { when(error: unknown): boolean }) | undefined;
  /** Of one attempt; Infinity: none. */
  readonly timeoutMs: number;
  readonly tolerance: Tolerance | undefined;
  readonly cache: CachePlan | undefined;
  readonly compensate: ((update: unknown, context: NodeContext) => unknown) | undefined;
}
