import { MeshError, topic, topicPattern, type Topic } from "@plexus/core";
import { z } from "zod";
import { eventValue, type Subscription } from "./events.ts";
import { JetStream } from "./nats/jetstream.ts";
import { TopicStatus, type TopicInfo, type TopicLag } from "./nats/topic-status.ts";
import { TopicStore } from "./nats/topic-store.ts";
import { NamedSubscriber } from "./named-subscriber.ts";
import { Replay } from "./replay.ts";
import type { Runtime } from "./runtime.ts";
import {
  isNamed,
  readStored,
  type NamedSubscribeOptions,
  type ReplayOptions,
  type StoredEventContext,
  type StoredEventValue,
} from "./stored-event.ts";
import { DurablePublisher } from "./topic-publisher.ts";
import { TopicServices } from "./topic-services.ts";
import { TopicWriter } from "./topic-writer.ts";

/** Durable topics in one process: publishing, subscribing, and being asked about them. */
export class Topics {
  readonly #services: TopicServices;
  readonly #status: TopicStatus;
  /** One for each name, whatever contracts of it there are: so what the process publishes has one order. */
  readonly #writers = new Map<string, TopicWriter>();
  readonly #subscribers = new Set<NamedSubscriber | Replay>();

  constructor(runtime: Runtime) {
    const { link, subjects, client } = runtime;
    const js = new JetStream(link, `${subjects.inbox(client)}.evtjs`);
    const store = new TopicStore(link, subjects);
    this.#services = new TopicServices(runtime, js, store);
    this.#status = new TopicStatus(link, subjects, store);
  }

  publisher(contract: Topic): DurablePublisher {
    const { name, durable } = contract;
    const key = `${name} ${durable?.partitions}`; // one that is refused is not in the way of the right one
    let writer = this.#writers.get(key);
    if (writer === undefined) {
      writer = new TopicWriter(this.#services, contract);
      this.#writers.set(key, writer);
    }
    return new DurablePublisher(this.#services, contract, writer);
  }

  async subscribe(
    contract: Topic,
    handler: (value: unknown, context: StoredEventContext) => unknown,
    options: NamedSubscribeOptions | ReplayOptions,
    onEnd: (subscription: Subscription) => void,
  ): Promise<Subscription> {
    if (contract.durable === undefined) {
      throw new MeshError(
        "INVALID_CONTRACT",
        `Topic ${contract.name} is not declared durable: a subscription can have no "name" and no "from".`,
      );
    }
    const ended = (): void => {
      this.#subscribers.delete(subscriber);
      onEnd(subscriber);
    };
    const subscriber = isNamed(options)
      ? new NamedSubscriber(this.#services, contract, handler, options, ended)
      : new Replay(this.#services, contract, handler, options, ended);
    await subscriber.open();
    this.#subscribers.add(subscriber);
    return subscriber;
  }

  /** The event that was stored last, of those whose parameters have these values. */
  async last(
    contract: Topic,
    where: Readonly<Record<string, string | number | undefined>>,
  ): Promise<StoredEventValue | undefined> {
    const { runtime, store, js } = this.#services;
    const subject = runtime.subjects.event(topicPattern(contract, where));
    const found = await this.#services.atFirst(contract, async () => {
      await store.open(contract);
      return js.last(store.stream(contract.name), subject);
    });
    if (found === undefined) return undefined;
    const envelope = readStored(found);
    return {
      value: eventValue(contract, envelope),
      eventId: found.header("Nats-Msg-Id") ?? envelope.id,
      sequence: found.sequence,
      storedAt: found.storedAt,
    };
  }

  list(): Promise<TopicInfo[]> {
    return this.#services.status(() => this.#status.topics());
  }

  /** A durable topic whose contract this process does not have, as the broker describes it. */
  async find(name: string): Promise<Topic> {
    const { partitions, keepMs, maxBytes, dedupeMs } = await this.#services.status(() =>
      this.#status.topic(name),
    );
    return topic(name as "any", {
      schema: z.any(),
      durable: {
        partitions,
        keep: keepMs,
        dedupe: dedupeMs,
        ...(maxBytes === undefined ? {} : { maxBytes }),
      },
    });
  }

  lag(name: string): Promise<TopicLag[]> {
    return this.#services.status(() => this.#status.lag(name));
  }

  connectionLost(): void {
    this.#services.js.connectionLost();
  }

  connectionRestored(): void {
    this.#services.store.forget();
    for (const subscriber of this.#subscribers) subscriber.restored();
  }

  /** Resolves when everything that was published is stored, or out of time. */
  async settled(): Promise<void> {
    await Promise.all([...this.#writers.values()].map((writer) => writer.settled()));
  }

  close(): void {
    this.#services.close();
    for (const writer of this.#writers.values()) writer.close();
    this.#services.js.close();
  }
}
