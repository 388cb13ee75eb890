import type { Duration } from "@plexus/core";
import type { BudgetScope } from "./budgets.ts";
import type { CacheOutcome } from "./cache.ts";
import type { FinishReason, Message, ModelRequest, ToolCall, Usage } from "./model.ts";

/** What a model is asked: a prompt, or a whole conversation. */
export interface Ask extends Omit<ModelRequest, "messages"> {
  readonly prompt?: string;
  readonly system?: string;
  /** Between `system` and `prompt`. */
  readonly messages?: readonly Message[];
}

/** How a call is made. */
export interface CallOptions extends BudgetScope {
  readonly signal?: AbortSignal;
  /** For everything together: waiting, attempts, fallbacks. Default: the group's, or 60 s. */
  readonly timeout?: Duration;
  /** Take an answer that the fleet has had, and keep this one. Default: at temperature 0. Streams are never cached. */
  readonly cache?: boolean;
  /**
   * Answer only when the charge is recorded, or time is up. Default: it is recorded behind the answer's back, and if the process is killed
   * in between, what was set aside for it stays blocked. Tool loops of durable tasks do confirm.
   */
  readonly confirm?: boolean;
  /** Sent to gateways that can recognize a repetition by it. */
  readonly idempotencyKey?: string;
}

/** What came of a call. Plain data. */
export interface Answer {
  readonly text: string;
  readonly toolCalls: readonly ToolCall[];
  readonly finishReason: FinishReason;
  /** The deployment that answered. */
  readonly model: string;
  /** Of all attempts that were charged, failed ones included. Nothing for an answer from the cache. */
  readonly usage: Usage;
  readonly costUsd: number;
  readonly attempts: number;
  readonly cache?: CacheOutcome;
}

/** The request that is made of what a caller asks. */
export function toRequest(ask: Ask | string): ModelRequest {
  if (typeof ask === "string") return { messages: [{ role: "user", text: ask }] };
  const { prompt, system, messages = [], ...rest } = ask;
  return {
    ...rest,
    messages: [
      ...(system === undefined ? [] : [{ role: "system" as const, text: system }]),
      ...messages,
      ...(prompt === undefined ? [] : [{ role: "user" as const, text: prompt }]),
    ],
  };
}
