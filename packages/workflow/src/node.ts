import {
  MeshError,
  isMeshError,
  resolveRetry,
  toMs,
  type Duration,
  type RetryPolicy,
} from "@plexus/core";
import type { z } from "zod";
import type { Channels, StateOf, UpdateOf } from "./channel.ts";
import type { Command } from "./command.ts";
import type { NodeContext } from "./context.ts";
import type { CachePlan, NodePlan } from "./plan.ts";

/** What a node returns: updates of channels, a {@link Command}, or nothing. */
export type NodeReturn<Update> = Update | Command<Update> | void | undefined;

/** A node: an input and a context in, updates out. Without an `input` schema the input is the graph's state. */
export type NodeFunction<Update, Input> = (
  input: Input,
  context: NodeContext,
) => NodeReturn<Update> | Promise<NodeReturn<Update>>;

/** What any node may have, whatever it executes. */
export interface CommonOptions<C extends Channels> {
  /** Where the node may `goto` by a command, in addition to its edges. */
  readonly ends?: readonly string[];
  /** The channels it writes; then a clash with another node is found when the graph is built. Default: any. */
  readonly writes?: readonly (keyof C & string)[];
  /** Is executed when nothing else is due: all branches have come to their end. */
  readonly defer?: boolean;
  /** Executions of this node at a time. Default: no bound but the graph's. */
  readonly concurrency?: number;
  /** Executions in one run; one more fails with `STEP_LIMIT`. Default: no bound but the graph's `maxSteps`. */
  readonly maxVisits?: number;
  /** Failures that the run survives: `instead` is what they count as. */
  readonly failures?: {
    /** In one step. Default: any number. */
    readonly atMost?: number;
    readonly instead: (error: MeshError, input: unknown) => UpdateOf<C>;
  };
}

/** What a node of one's own function may have besides. */
export interface NodeOptions<
  C extends Channels,
  Input extends z.ZodType = z.ZodType,
  Private extends Channels = Channels,
> extends CommonOptions<C> {
  /** Checks and narrows the input; what is sent to the node must match it. */
  readonly input?: Input;
  /** Channels that no other node sees. */
  readonly private?: Private;
  /** Default: one attempt. */
  readonly retry?: RetryPolicy & { readonly when?: (error: unknown) => boolean };
  /** Of one attempt. Default: none. */
  readonly timeout?: Duration;
  /** Results for the same input are taken from the graph's cache. `key` defaults to the input itself. */
  readonly cache?: { readonly ttl?: Duration; readonly key?: (input: unknown) => string };
  /**
   * Undoes what an execution has done, given the update it had returned, when the run fails or is canceled later on. Undoing goes
   * backwards, one by one, with the node's retry policy (default: three attempts).
   */
  readonly compensate?: (update: UpdateOf<C>, context: NodeContext) => unknown;
}

/** How a subgraph is connected with the graph around it. */
export interface SubgraphOptions<C extends Channels, Input, Output> extends CommonOptions<C> {
  /** The subgraph's input, from the state around it (or from what was sent). */
  readonly map: (state: StateOf<C>) => Input;
  /** What its output means for the state around it. */
  readonly merge: (output: Output, state: StateOf<C>) => UpdateOf<C>;
}

/** The part of a node's plan that follows from its options. Throws `INVALID_CONTRACT`. */
export type Settings = Omit<NodePlan, "name" | "run" | "nested" | "next" | "joins" | "routes">;

export function resolveOptions(name: string, options: NodeOptions<Channels>): Settings {
  const demand = (condition: boolean, text: string): void => {
    if (!condition) throw new MeshError("INVALID_CONTRACT", `Node ${name}: ${text}.`);
  };
  const { concurrency = Infinity, maxVisits = Infinity, retry, failures, cache } = options;
  demand(isCount(concurrency), "concurrency must be 1 or more");
  demand(isCount(maxVisits), "maxVisits must be 1 or more");
  demand(
    cache === undefined || options.compensate === undefined,
    "what comes from a cache cannot be undone: cache and compensate exclude each other",
  );
  if (failures !== undefined) {
    const { atMost = Infinity, instead } = failures;
    demand(isCount(atMost), "failures.atMost must be 1 or more");
    demand(typeof instead === "function", "failures.instead is not a function");
  }
  return {
    ends: options.ends ?? [],
    input: options.input,
    writes: options.writes && new Set(options.writes),
    privates: new Map(Object.keys(options.private ?? {}).map((key) => [key, `${name}.${key}`])),
    deferred: options.defer ?? false,
    concurrency,
    maxVisits,
    retry: retry && { ...resolveRetry(retry), when: retry.when ?? mayRetry },
    timeoutMs: options.timeout === undefined ? Infinity : toMs(options.timeout),
    tolerance: failures && { atMost: Infinity, ...failures },
    cache: cache && cachePlan(cache),
    compensate: options.compensate as NodePlan["compensate"],
  };
}

function isCount(value: number): boolean {
  return value === Infinity || (Number.isInteger(value) && value >= 1);
}

/** Errors of one's own may pass; a MeshError says itself whether they do. */
function mayRetry(error: unknown): boolean {
  return !isMeshError(error) || error.retryable || error.code === "TIMEOUT";
}

function cachePlan({ ttl, key }: NonNullable<NodeOptions<Channels>["cache"]>): CachePlan {
  return {
    ttlMs: ttl === undefined ? Infinity : toMs(ttl),
    key: key ?? ((input) => JSON.stringify(input)),
  };
}
