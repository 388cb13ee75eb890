import { MeshError, toTimerMs, type Duration } from "@plexus/core";
import type { EventSource, SourceContract, SourceEvent } from "./event-source.ts";

/** What changes a projection's state for one kind of event. It may change the state it is given, and returns the new one. */
export type ProjectionHandlers<S extends SourceContract, State> = {
  readonly [N in keyof S["events"] & string]?: (
    state: State,
    event: Extract<SourceEvent<S>, { readonly type: N }>,
  ) => State;
};

/** How far a projection is in building its state. */
export interface ProjectionProgress {
  /** Events that were folded since it began. */
  readonly events: number;
  /** Of the last event that is in the state. */
  readonly sequence: number;
  /** Of the last event that there was when it began. */
  readonly of: number;
}

/** What a projection makes of the events of a source. */
export interface ProjectionSpec<S extends SourceContract, State> {
  /** One token of at most 48 characters. In a bucket, projections of the same name and source are one. */
  readonly name: string;
  /** The state before any event, or what makes it. */
  readonly initial: State | (() => State);
  /** Kinds of events without a handler leave the state as it is. */
  readonly on: ProjectionHandlers<S, State>;
  /**
   * `memory` (default): in this process, built from all events. `bucket`: the broker keeps the state together with how far it is; of all
   * processes that project by the name, one folds at a time, and the others see what it has stored.
   */
  readonly store?: "memory" | "bucket";
  /** Raise it when `on` has changed: what is stored of another version is built anew. Default 1. */
  readonly version?: number;
  /** Told now and then while it builds. */
  readonly onProgress?: (progress: ProjectionProgress) => void;
}

/** A state that follows the events of a journal or of an entity; disposing ends it. */
export interface Projection<State> extends AsyncDisposable {
  /** As of {@link sequence}. In a bucket: what is stored. Not to be changed. */
  readonly state: State;
  /** Of the last event that the state contains. */
  readonly sequence: number;
  /** Resolves when the state has all events that there were when it began, as far as the broker has not lost them. */
  readonly caughtUp: Promise<void>;
  /** Resolves when it has ended; rejects if it cannot go on: `INCOMPATIBLE_EVENT`, `COMPACTED`, `AGENT_FAILED`, `MESSAGE_TOO_LARGE`. */
  readonly ended: Promise<void>;
  /**
   * Resolves with the state once it has the event of a sequence, as an append returns it: so one reads what one has written. Rejects with
   * `TIMEOUT` after `timeout` (30 s).
   */
  waitFor(sequence: number, options?: { timeout?: Duration; signal?: AbortSignal }): Promise<State>;
  /** Builds the state anew: of all events, or of what a compaction has kept and those behind it. Resolves when it has caught up. */
  rebuild(options?: { onProgress?: (progress: ProjectionProgress) => void }): Promise<void>;
  stop(): Promise<void>;
}

/** A handler with its types erased. */
export type Fold = (state: unknown, event: never) => unknown;

/** A {@link ProjectionSpec} with its types erased, and its defaults filled in. */
export interface ResolvedProjection {
  readonly name: string;
  readonly version: number;
  readonly on: Readonly<Record<string, Fold | undefined>>;
  initial(): unknown;
}

/** Adds a record's events to a state. Throws `INCOMPATIBLE_EVENT`, or `AGENT_FAILED` if a handler threw. */
export function foldRecord(
  source: EventSource,
  { on, name }: ResolvedProjection,
  state: unknown,
  record: Parameters<EventSource["events"]>[0],
  counted: (events: number) => void,
): unknown {
  const events = source.events(record);
  let next = state;
  for (const event of events) {
    const fold = on[event.type];
    if (fold === undefined) continue;
    try {
      next = fold(next, event as never);
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      const text = `Projection ${name}: on.${event.type} failed at sequence ${event.sequence} of ${source.title}: ${why}`;
      throw new MeshError("AGENT_FAILED", text, { cause });
    }
  }
  counted(events.length);
  return next;
}

interface Waiter {
  readonly sequence: number;
  /** It waits for whatever there was, not for an event of its own. */
  readonly catchesUp: boolean;
  resolve(): void;
  reject(error: MeshError): void;
}

const DEFAULT_WAIT_MS = 30_000;

/** Those who wait for a sequence. */
export class SequenceWaiters {
  readonly #waiting = new Set<Waiter>();
  readonly #name: string;
  #reached = 0;
  #failure: MeshError | undefined;

  constructor(name: string) {
    this.#name = name;
  }

  reach(sequence: number): void {
    this.#reached = sequence;
    for (const waiter of this.#waiting) if (waiter.sequence <= sequence) waiter.resolve();
  }

  fail(error: MeshError): void {
    this.#failure ??= error;
    for (const waiter of this.#waiting) waiter.reject(error);
  }

  /** The broker has lost everything: who waits for whatever there was need not wait any more. */
  lost(): void {
    for (const waiter of this.#waiting) if (waiter.catchesUp) waiter.resolve();
  }

  /** Resolves when the sequence is reached, however long that takes, or lost. */
  reached(sequence: number): Promise<void> {
    return this.#enter(sequence);
  }

  /** The same, but rejects with `TIMEOUT` after a while. */
  wait(
    sequence: number,
    { timeout, signal }: { timeout?: Duration; signal?: AbortSignal },
  ): Promise<void> {
    return this.#enter(
      sequence,
      timeout === undefined ? DEFAULT_WAIT_MS : toTimerMs(timeout),
      signal,
    );
  }

  #enter(sequence: number, timeoutMs?: number, signal?: AbortSignal): Promise<void> {
    const name = this.#name;
    return new Promise<void>((resolve, reject) => {
      if (sequence <= this.#reached) return resolve();
      if (this.#failure) return reject(this.#failure);
      const cancel = (): void =>
        waiter.reject(
          new MeshError("CANCELED", `No longer waiting for ${name}.`, { cause: signal?.reason }),
        );
      const timer =
        timeoutMs === undefined
          ? undefined
          : setTimeout(() => {
              const text = `Projection ${name} is at ${this.#reached}, not at ${sequence}, after ${timeoutMs} ms.`;
              waiter.reject(new MeshError("TIMEOUT", text));
            }, timeoutMs);
      const settle = (done: () => void): void => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", cancel);
        this.#waiting.delete(waiter);
        done();
      };
      const waiter: Waiter = {
        sequence,
        catchesUp: timeoutMs === undefined,
        resolve: () => settle(resolve),
        reject: (error) => settle(() => reject(error)),
      };
      this.#waiting.add(waiter);
      if (signal?.aborted) cancel();
      signal?.addEventListener("abort", cancel, { once: true });
    });
  }
}

const REPORT_MS = 250;

/** Reports progress now and then, and when everything is there. */
export class ProgressReport {
  readonly #tell: ((progress: ProjectionProgress) => void) | undefined;
  readonly #of: number;
  #events = 0;
  #toldMs = performance.now();
  #done = false;

  constructor(of: number, tell: ((progress: ProjectionProgress) => void) | undefined) {
    this.#of = of;
    this.#tell = tell;
  }

  count(events: number): void {
    this.#events += events;
  }

  at(sequence: number): void {
    if (this.#done || this.#tell === undefined) return;
    this.#done = sequence >= this.#of;
    const now = performance.now();
    if (!this.#done && now - this.#toldMs < REPORT_MS) return;
    this.#toldMs = now;
    this.#tell({ events: this.#events, sequence, of: this.#of });
  }
}
