import { KINDS, MeshError, fromWireError, toTimerMs, type Duration } from "@plexus/core";
import { TaskEvents, type TaskEvent, type TaskListener } from "./task-events.ts";
import type { TaskStatus } from "./task-status.ts";

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

  events(options: WaitOptions = {}): AsyncGenerator<TaskEvent, void, void> {
    return new TaskEvents((listener) => this.#follow(options, listener));
  }

  #follow({ timeout, signal }: WaitOptions, listener: TaskListener): () => void {
    const waitMs = timeout === undefined ? DEFAULT_WAIT_MS : toTimerMs(timeout);
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
    const timer = setTimeout(() => {
      const text = `Task ${this.id} has not ended within ${waitMs} ms; it goes on.`;
      give(new MeshError("TIMEOUT", text));
    }, waitMs);
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
