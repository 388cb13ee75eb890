import { readFrame, type Envelope } from "@plexus/core";
import { isStored } from "./nats/jetstream.ts";
import type { LinkSubscription } from "./nats/link.ts";
import { noteBadMessage, type Runtime } from "./runtime.ts";

const MAX_HALVES = 8_192; // results or confirmations whose other half has not come

/** Hears what is told of tasks. */
export interface NewsListener {
  /** News, or a result that is recorded. */
  told(envelope: Envelope): void;
  /** A result of this task was refused by the broker: there is another one. */
  refused(task: string): void;
}

/**
 * What is told of the tasks of one client. A result leaves its host twice at the same time: to the stream, and to here. The
 * broker confirms the one to both, so that the other is known to be recorded without a detour over its host. As several hosts may have
 * executed a task, the halves of one result are told from those of another by its host and the time at which it was sent.
 */
export class TaskNewsFeed {
  readonly #listener: NewsListener;
  readonly #runtime: Runtime;
  readonly #subscriptions: readonly LinkSubscription[];
  readonly #unconfirmed = new Map<string, Envelope>();
  readonly #confirmed = new Map<string, true>();

  constructor(runtime: Runtime, client: string, listener: NewsListener) {
    this.#runtime = runtime;
    this.#listener = listener;
    const { link, subjects } = runtime;
    this.#subscriptions = [
      link.subscribe(subjects.taskEvents(client), (data) =>
        this.#read(data, (envelope) => listener.told(envelope)),
      ),
      link.subscribe(subjects.taskResults(client), (data) =>
        this.#read(data, (envelope) => this.#result(envelope)),
      ),
      link.subscribe(subjects.recorded(client, "*", "*", "*"), (answer, subject) => {
        const [host = "", task = "", sentAt = ""] = subject.split(".").slice(-3);
        this.#recorded(task, halfOf(host, task, sentAt), isStored(answer));
      }),
    ];
  }

  unsubscribe(): void {
    for (const subscription of this.#subscriptions) subscription.unsubscribe();
  }

  #read(data: Uint8Array, visit: (envelope: Envelope) => void): void {
    try {
      readFrame(data, visit);
    } catch (error) {
      noteBadMessage(this.#runtime, error);
    }
  }

  #result(envelope: Envelope): void {
    const { id, sender, sentAt } = envelope;
    const half = halfOf(sender.slice(0, sender.lastIndexOf("-")), id, sentAt);
    if (this.#confirmed.delete(half)) this.#listener.told(envelope);
    else keep(this.#unconfirmed, half, envelope);
  }

  #recorded(task: string, half: string, stored: boolean): void {
    const result = this.#unconfirmed.get(half);
    this.#unconfirmed.delete(half);
    if (!stored) this.#listener.refused(task);
    else if (result) this.#listener.told(result);
    else keep(this.#confirmed, half, true);
  }
}

/** What both halves of a result have in common, and nothing else has. */
function halfOf(host: string, task: string, sentAt: string | number): string {
  return `${host}.${task}.${sentAt}`;
}

/** Keeps a half, and drops the oldest one when there are too many. */
function keep<T>(halves: Map<string, T>, half: string, value: T): void {
  if (halves.size >= MAX_HALVES) {
    const [oldest] = halves.keys();
    if (oldest !== undefined) halves.delete(oldest);
  }
  halves.set(half, value);
}
