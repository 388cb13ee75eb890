import { MeshError, type Topic } from "@plexus/core";
import { nowMs } from "./clock.ts";
import type { JetStream } from "./nats/jetstream.ts";
import type { TopicStore } from "./nats/topic-store.ts";
import type { Runtime } from "./runtime.ts";
import { surely, unlessCut, untilConnected } from "./surely.ts";

const PATIENCE_MS = 30_000; // with a broker that is away when somebody subscribes, or a cluster without a leader
const PAUSE_MS = 250; // before asking again a broker that has just failed

/** What publishing on and subscribing to durable topics share. */
export class TopicServices {
  readonly runtime: Runtime;
  readonly js: JetStream;
  readonly store: TopicStore;
  #inboxes = 0;
  #closed = false;

  constructor(runtime: Runtime, js: JetStream, store: TopicStore) {
    this.runtime = runtime;
    this.js = js;
    this.store = store;
  }

  /** Prefix of the reply subjects of one subscription. */
  nextInbox(): string {
    const { subjects, client } = this.runtime;
    return `${subjects.inbox(client)}.evt.${this.#inboxes++}`;
  }

  /** Notes at the broker, once, that a subscription goes on behind an event that it could not handle. */
  async noteSkipped(
    topic: Topic,
    subscription: string,
    event: { readonly sequence: number; readonly deliveries: number; readonly error: MeshError },
  ): Promise<void> {
    const { sequence, deliveries, error } = event;
    const { code, message } = error.toJSON();
    const note = Buffer.from(JSON.stringify({ sequence, deliveries, code, message }));
    // Ids of users have no spaces.
    const headers = { "Nats-Msg-Id": `skip ${subscription} ${sequence}` };
    const subject = this.store.skipped(topic.name, subscription);
    await surely(this.runtime, () => this.js.publish(subject, note, { headers }), {
      closed: () => this.#closed,
      reopen: () => this.#reopen(topic),
    });
  }

  /** Asks the broker, and again when a cluster that has just lost a node does not answer. */
  status<T>(ask: () => Promise<T>): Promise<T> {
    return surely(this.runtime, () => this.#ask(ask), {
      untilMs: nowMs() + PATIENCE_MS,
      closed: () => this.#closed || !this.runtime.link.connected,
      reopen: () => Promise.resolve(),
    });
  }

  /** Runs `make` until it succeeds or is refused, for 30 s at most. */
  atFirst<T>(topic: Topic, make: () => Promise<T>): Promise<T> {
    return surely(this.runtime, () => this.#ask(make), {
      untilMs: nowMs() + PATIENCE_MS,
      closed: () => this.#closed,
      reopen: () => this.#reopen(topic),
    });
  }

  /** The same after a failure, for as long as it takes. Throws `CANCELED` when nobody needs it any more. */
  async afterFailure<T>(topic: Topic, make: () => Promise<T>, unneeded: () => boolean): Promise<T> {
    await untilConnected(this.runtime, PAUSE_MS);
    this.store.forget(topic.name);
    const closed = (): boolean => this.#closed || unneeded();
    const attempt = async (): Promise<T> => {
      if (closed()) throw new MeshError("CANCELED", "The subscription has ended.");
      return this.#ask(make);
    };
    return surely(this.runtime, attempt, { closed, reopen: () => this.#reopen(topic) });
  }

  close(): void {
    this.#closed = true;
  }

  /** Without a connection, asking would only wait for a timeout. */
  async #ask<T>(make: () => Promise<T>): Promise<T> {
    if (this.runtime.link.connected) return unlessCut(this.runtime, make());
    throw new MeshError("NOT_CONNECTED", "There is no broker.");
  }

  #reopen(topic: Topic): Promise<void> {
    this.store.forget(topic.name);
    return this.store.open(topic);
  }
}
