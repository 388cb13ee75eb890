import { KINDS, fromWireError, isMeshError, type MeshError } from "@plexus/core";
import type { Envelope, TaskState, WireError } from "@plexus/core";
import { finalState, type TaskNews } from "./task-message.ts";

/** What happens to a task. */
export type TaskEvent =
  | { readonly type: "started"; readonly attempt: number; readonly instance: string }
  /** Its instance was lost or fell silent, so this one has it now: the same attempt, executed again. */
  | { readonly type: "reassigned"; readonly attempt: number; readonly instance: string }
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

/** Hears what becomes of one task. */
export interface TaskListener {
  news(envelope: Envelope): void;
  ended(result: Envelope): void;
  /** There is no such task, or nobody waits any more. */
  unknown(error: MeshError): void;
}

type Step = IteratorResult<TaskEvent, void>;

const DONE: Step = { done: true, value: undefined };

/**
 * The events of one task, listened to from the first `next()` on. Not a generator function: its `return()` would wait for
 * the `next()` under way, and so for an event that may never come.
 */
export class TaskEvents implements AsyncGenerator<TaskEvent, void, void> {
  readonly #follow: (listener: TaskListener) => () => void;
  readonly #queue: (TaskEvent | MeshError)[] = [];
  #readers: PromiseWithResolvers<Step>[] = [];
  #stop: (() => void) | undefined;
  #ended = false;
  #started = 0;

  /** @param follow begins to listen; what it returns ends that */
  constructor(follow: (listener: TaskListener) => () => void) {
    this.#follow = follow;
  }

  next(): Promise<Step> {
    if (this.#ended) return Promise.resolve(DONE);
    const reader = Promise.withResolvers<Step>();
    this.#readers.push(reader);
    this.#stop ??= this.#follow({
      news: (envelope) => this.#news(envelope),
      ended: (result) => this.#finished(result),
      unknown: (error) => this.#add(error),
    });
    this.#serve();
    return reader.promise;
  }

  return(): Promise<Step> {
    this.#end();
    return Promise.resolve(DONE);
  }

  throw(error: unknown): Promise<Step> {
    this.#end();
    return Promise.reject(error);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }

  #news(envelope: Envelope): void {
    const about = { attempt: envelope.seq, instance: envelope.sender };
    const type = envelope.name as TaskNews;
    if (type === "reassigned") this.#started = Math.max(this.#started, envelope.seq);
    else this.#begun(envelope);
    if (type === "started") return;
    const details: unknown = envelope.value ?? {};
    this.#add({ type, ...about, ...(details as object) } as TaskEvent);
  }

  #finished(result: Envelope): void {
    const state = finalState(result);
    if (state === "completed" || state === "failed") this.#begun(result);
    const error = result.kind === KINDS.error ? fromWireError(result.value).toJSON() : undefined;
    this.#add({
      type: "finished",
      attempt: result.seq,
      instance: result.sender,
      state,
      ...(error === undefined ? {} : { error }),
    });
  }

  /** News can be lost: whatever is told of an attempt tells that it has started. */
  #begun({ seq, sender }: Envelope): void {
    if (seq > this.#started) this.#add({ type: "started", attempt: seq, instance: sender });
    this.#started = Math.max(this.#started, seq);
  }

  #add(event: TaskEvent | MeshError): void {
    this.#queue.push(event);
    this.#serve();
  }

  #serve(): void {
    while (this.#queue.length > 0 && this.#readers.length > 0) {
      const event = this.#queue.shift()!;
      const reader = this.#readers.shift()!;
      if (isMeshError(event)) reader.reject(event);
      else reader.resolve({ done: false, value: event });
      if (isMeshError(event) || event.type === "finished") this.#end();
    }
  }

  #end(): void {
    this.#ended = true;
    this.#queue.length = 0;
    const readers = this.#readers;
    this.#readers = [];
    for (const reader of readers) reader.resolve(DONE);
    this.#stop?.();
  }
}
