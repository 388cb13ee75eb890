import { AsyncLocalStorage } from "node:async_hooks";
import { ulidToHex, type Envelope, type MeshError } from "@plexus/core";
import { nowMs } from "./clock.ts";
import type { Logger } from "./log.ts";

/** What a handler is told about the call or event it serves. */
export interface Context {
  /** Id of the message being handled (ULID). */
  readonly id: string;
  /** The instance or client that sent it. */
  readonly sender: string;
  /** Fires on the caller's timeout or cancel, and at shutdown. Pass it on to whatever takes one. */
  readonly signal: AbortSignal;
  /** Milliseconds left, or undefined when there is no deadline. */
  readonly timeLeftMs: number | undefined;
  /** W3C trace id (32 hex digits): the same for everything one root message caused. */
  readonly traceId: string;
  readonly log: Logger;
}

/** What the handler of a durable capability is told. A direct call is a first and only attempt, and records no effects. */
export interface TaskContext extends Context {
  /** Which attempt of the task this is, from 1. */
  readonly attempt: number;
  /** Tells whoever watches how far it is, 0 to 1. */
  progress(fraction: number, note?: string): void;
  /**
   * Runs `run` unless an earlier execution of this task has recorded its result under `name`, and records the result.
   * Not repeated once recorded; a process that dies between the two repeats it, so give `key`, which is the same in
   * every execution, to whatever takes an idempotency key.
   */
  effect<T>(name: string, run: (key: string) => T | Promise<T>): Promise<T>;
}

/** Version, trace id, parent span id and flags, in hexadecimal and with dashes (https://www.w3.org/TR/trace-context/). */
const TRACEPARENT_LENGTH = 55;

/** What a scope needs to know of the message or event that is handled. */
export type Handled = Pick<Envelope, "id" | "sender" | "trace">;

/** The scope of one handler: calls made inside inherit its deadline, cancellation and trace. */
export class Scope implements TaskContext {
  readonly id: string;
  /** Monotonic ms, or Infinity. */
  readonly deadlineMs: number;
  readonly #envelope: Handled;
  readonly #log: Logger;
  #traceparent: string | undefined;
  #canceled: MeshError | undefined;
  #controller: AbortController | undefined;
  #listeners: Set<(reason: MeshError) => void> | undefined;

  constructor(envelope: Handled, deadlineMs: number, log: Logger) {
    this.id = envelope.id;
    this.deadlineMs = deadlineMs;
    this.#envelope = envelope;
    this.#log = log;
  }

  get sender(): string {
    return this.#envelope.sender;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#canceled) this.#controller.abort(this.#canceled);
    }
    return this.#controller.signal;
  }

  get timeLeftMs(): number | undefined {
    return this.deadlineMs === Infinity ? undefined : Math.max(0, this.deadlineMs - nowMs());
  }

  get traceId(): string {
    const { trace } = this.#envelope;
    return trace !== undefined && trace.length >= TRACEPARENT_LENGTH
      ? trace.slice(3, 35)
      : ulidToHex(this.#envelope.id);
  }

  get log(): Logger {
    return this.#log.child({ id: this.id, trace: this.traceId });
  }

  get attempt(): number {
    return 1;
  }

  progress(_fraction: number, _note?: string): void {
    // Nobody watches a call: its caller waits for the answer.
  }

  async effect<T>(name: string, run: (key: string) => T | Promise<T>): Promise<T> {
    return run(`${this.id}:${name}`);
  }

  /** The traceparent for messages this handler sends: same trace, this message as the parent span. */
  get traceparent(): string {
    return (this.#traceparent ??= `00-${this.traceId}-${ulidToHex(this.#envelope.id).slice(16)}-01`);
  }

  get canceled(): MeshError | undefined {
    return this.#canceled;
  }

  cancel(reason: MeshError): void {
    if (this.#canceled) return;
    this.#canceled = reason;
    this.#controller?.abort(reason);
    for (const listener of this.#listeners ?? []) listener(reason);
    this.#listeners = undefined;
  }

  onCancel(listener: (reason: MeshError) => void): () => void {
    const listeners = (this.#listeners ??= new Set());
    listeners.add(listener);
    return () => listeners.delete(listener);
  }
}

const scopes = new AsyncLocalStorage<Scope | undefined>();

/** The scope of the handler that is running, if one is. */
export function currentScope(): Scope | undefined {
  return scopes.getStore();
}

/** Runs a handler inside its scope. */
export function runInScope<A extends unknown[], R>(
  scope: Scope | undefined,
  run: (...args: A) => R,
  ...args: A
): R {
  return scopes.run(scope, run, ...args);
}

/** True for what a handler returns when it is not done yet. */
export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    value instanceof Promise ||
    (typeof value === "object" &&
      value !== null &&
      "then" in value &&
      typeof value.then === "function")
  );
}

/** Ends with the result of a handler, or with the reason once its scope is canceled. */
export async function orCanceled(scope: Scope, result: PromiseLike<unknown>): Promise<unknown> {
  const { promise: canceled, reject } = Promise.withResolvers<never>();
  if (scope.canceled) reject(scope.canceled);
  const stop = scope.onCancel(reject);
  try {
    return await Promise.race([result, canceled]);
  } finally {
    stop();
  }
}
