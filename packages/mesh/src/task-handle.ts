import {
  KINDS,
  MeshError,
  fromWireError,
  isMeshError,
  toMs,
  type Duration,
  type Envelope,
  type TaskState,
  type WireError,
} from "@plexus/core";
import { nowMs } from "./clock.ts";
import { finalState, type TaskNews } from "./task-message.ts";

/** What is known of a task at one moment. */
export interface TaskStatus {
  readonly id: string;
  readonly state: TaskState;
  readonly agent: string;
  readonly capability: string;
  readonly attempt: number;
  /** The instance that works or has worked on it. */
  readonly instance?: string;
  /** 0 to 1, as its handler reported. */
  readonly progress?: number;
  readonly note?: string;
  /** The client that submitted it. */
  readonly client: string;
  /** Milliseconds since the epoch. */
  readonly submittedAt?: number;
  readonly endedAt?: number;
  /** When its next attempt is due, while it waits for one. */
  readonly dueAt?: number;
  readonly error?: WireError;
}

/** What happens to a task. */
export type TaskEvent =
  | { readonly type: "started"; readonly attempt: number; readonly instance: string }
  | {
      readonly type: "progress";
      readonly attempt: number;
      readonly instance: string;
      readonly fraction: number;
      readonly note?: string;
    }
  | {
      readonly type: "retried";
      readonly attempt: number;
      readonly instance: string;
      readonly delayMs: number;
      readonly error: WireError;
    }
  | {
      readonly type: "finished";
      readonly attempt: number;
      readonly instance: string;
      readonly state: TaskState;
      readonly error?: WireError;
    };

/** Options of waiting for a task. */
export interface WaitOptions {
  /** Default 5 m. Waiting ends, the task goes on. */
  readonly timeout?: Duration;
  readonly signal?: AbortSignal;
}

/** A submitted task, in any process. */
export interface TaskHandle<Output = unknown> {
  readonly id: string;
  status(): Promise<TaskStatus>;
  /** The recorded result. Rejects with the recorded error, `TIMEOUT`, `CANCELED`, or `NO_TASK` for an unknown id. */
  result(options?: WaitOptions): Promise<Output>;
  /** Ends it for good, running or not. False: it has ended before. */
  cancel(): Promise<boolean>;
  /** What happens from now on, up to the end. News of a running task is sent once and can be lost; the end cannot. */
  events(options?: WaitOptions): AsyncGenerator<TaskEvent, void, void>;
}

/** What a handle needs of the client that made it. */
export interface HandleOwner {
  status(id: string): Promise<TaskStatus>;
  cancel(id: string): Promise<boolean>;
  /** Listens to a task's news and its result until the returned function is called. */
  listen(id: string, listener: TaskListener, options: { fresh: boolean }): () => void;
  /** Parses a result by the contract, as far as it is known. */
  parse(value: unknown): unknown;
}

export interface TaskListener {
  news(envelope: Envelope): void;
  ended(result: Envelope): void;
  /** There is no such task. */
  unknown(error: MeshError): void;
}

const DEFAULT_WAIT_MS = 300_000;

export class Handle implements TaskHandle {
  readonly id: string;
  readonly #owner: HandleOwner;
  #fresh: boolean;

  /** @param fresh it was submitted a moment ago: there is no need to look for its result yet */
  constructor(owner: HandleOwner, id: string, fresh: boolean) {
    this.#owner = owner;
    this.id = id;
    this.#fresh = fresh;
  }

  status(): Promise<TaskStatus> {
    return this.#owner.status(this.id);
  }

  cancel(): Promise<boolean> {
    return this.#owner.cancel(this.id);
  }

  result(options: WaitOptions = {}): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#follow(options, {
        news: () => {},
        ended: (result) => {
          try {
            if (result.kind === KINDS.error) reject(fromWireError(result.value));
            else resolve(this.#owner.parse(result.value));
          } catch (error) {
            reject(error);
          }
        },
        unknown: reject,
      });
    });
  }

  async *events(options: WaitOptions = {}): AsyncGenerator<TaskEvent, void, void> {
    const queue: (TaskEvent | MeshError)[] = [];
    let wake: (() => void) | undefined;
    const add = (event: TaskEvent | MeshError): void => {
      queue.push(event);
      wake?.();
    };
    let started = 0;
    const began = ({ seq, sender }: Envelope): void => {
      if (seq > started) add({ type: "started", attempt: seq, instance: sender });
      started = Math.max(started, seq);
    };
    const stop = this.#follow(options, {
      news: (envelope) => {
        began(envelope);
        if (envelope.name !== "started") add(newsEvent(envelope));
      },
      ended: (result) => {
        const state = finalState(result);
        if (state === "completed" || state === "failed") began(result);
        add(endEvent(result, state));
      },
      unknown: add,
    });
    try {
      for (;;) {
        const event = queue.shift();
        if (event === undefined) {
          // oxlint-disable-next-line no-await-in-loop -- until there is one
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
          continue;
        }
        if (isMeshError(event)) throw event;
        yield event;
        if (event.type === "finished") return;
      }
    } finally {
      stop();
    }
  }

  #follow({ timeout, signal }: WaitOptions, listener: TaskListener): () => void {
    const waitMs = timeout === undefined ? DEFAULT_WAIT_MS : toMs(timeout);
    const end = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
      stop();
    };
    const give = (error: MeshError): void => {
      end();
      listener.unknown(error);
    };
    const abort = (): void =>
      give(
        new MeshError("CANCELED", `No longer waiting for task ${this.id}.`, {
          cause: signal?.reason,
        }),
      );
    const started = nowMs();
    const timer = setTimeout(
      () => {
        const waited = Math.round(nowMs() - started);
        give(
          new MeshError(
            "TIMEOUT",
            `Task ${this.id} has not ended within ${waited} ms; it goes on.`,
          ),
        );
      },
      Math.min(waitMs, 2 ** 31 - 1),
    );
    const fresh = this.#fresh;
    this.#fresh = false;
    const stop = this.#owner.listen(
      this.id,
      {
        news: (envelope) => listener.news(envelope),
        ended: (result) => {
          end();
          listener.ended(result);
        },
        unknown: give,
      },
      { fresh },
    );
    if (signal?.aborted) abort();
    else signal?.addEventListener("abort", abort, { once: true });
    return end;
  }
}

function newsEvent(envelope: Envelope): TaskEvent {
  const about = { attempt: envelope.seq, instance: envelope.sender };
  const details: unknown = envelope.value ?? {};
  return { type: envelope.name as TaskNews, ...about, ...(details as object) } as TaskEvent;
}

function endEvent(result: Envelope, state: TaskState): TaskEvent {
  const error = result.kind === KINDS.error ? fromWireError(result.value).toJSON() : undefined;
  return {
    type: "finished",
    attempt: result.seq,
    instance: result.sender,
    state,
    ...(error === undefined ? {} : { error }),
  };
}
