import type { Duration } from "@plexus/core";
import type { z } from "zod";

/** What a router is told besides the state. */
export interface RouteContext {
  readonly thread: string;
  readonly run: string;
  readonly step: number;
  /** Executions of the routed node in this run, this one included: for loops that end by themselves. */
  readonly visits: number;
  readonly signal: AbortSignal;
}

/**
 * What a node is told besides its input. A node that waits (`interrupt`, `sleep`, `waitFor`, `until`) gives its process up: when
 * what it has waited for has come, it is executed from its beginning, and its earlier waits return at once what they had returned.
 * So waits must come in the same order each time, and what must not happen twice belongs into {@link NodeContext.effect}.
 */
export interface NodeContext extends RouteContext {
  readonly node: string;
  /** From 1; higher after failures that the retry policy has forgiven, or whose run was tried again. */
  readonly attempt: number;
  /** The same for every attempt of this execution and different for every other one: an idempotency key. */
  readonly execution: string;
  /** Fires on cancellation, timeout of the attempt, or failure of another node in the same step. */
  readonly signal: AbortSignal;
  /**
   * Asks a human. Returns the answer that `invoke(new Command({ resume }))` brings; one that `schema` does not take is refused,
   * and the question stays open.
   */
  interrupt<Answer = unknown>(question: unknown, schema?: z.ZodType<Answer>): Answer;
  /** Goes on when so much time has passed since it was first called. */
  sleep(duration: Duration): void;
  /** Goes on with the next event of that name (`graph.signal`) that `when` takes; undefined when `timeout` has passed first. */
  waitFor<Value = unknown>(
    event: string,
    options?: { readonly when?: (value: Value) => boolean; readonly timeout?: Duration },
  ): Value | undefined;
  /** Goes on when the condition holds, which is looked at now and then every so often (default 1 s). */
  until(
    condition: () => boolean | Promise<boolean>,
    options?: { readonly every?: Duration },
  ): Promise<void>;
  /**
   * Executes `run` unless an earlier attempt of this execution has recorded its result under the same name; that is returned
   * then. What runs when the process dies runs again: hand `key` to whatever takes an idempotency key.
   */
  effect<Value>(name: string, run: (key: string) => Value | Promise<Value>): Promise<Value>;
  /** Tells those who stream the run with mode `custom`. Not recorded. */
  emit(value: unknown): void;
  /** Tells those who stream the run with mode `tokens`: a piece of a model's answer. Not recorded. */
  token(text: string): void;
}
