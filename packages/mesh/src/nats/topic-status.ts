import type { ConsumerInfo, StreamInfo } from "@nats-io/jetstream";
import { MeshError, type Subjects } from "@plexus/core";
import type { Link } from "./link.ts";
import { Streams } from "./streams.ts";
import { PARTITIONS, SUBSCRIPTION, TOPIC, type TopicStore } from "./topic-store.ts";

/** A durable topic as the broker describes it. */
export interface TopicInfo {
  readonly topic: string;
  readonly partitions: number;
  /** Events that are stored now, and their bytes. */
  readonly events: number;
  readonly bytes: number;
  readonly firstSequence: number;
  readonly lastSequence: number;
  /** When the oldest and the newest were stored: milliseconds since the epoch. Undefined: there is none. */
  readonly firstAt: number | undefined;
  readonly lastAt: number | undefined;
  readonly keepMs: number;
  readonly maxBytes: number | undefined;
  readonly dedupeMs: number;
  /** Consumers, those of named subscriptions and of replays that are under way. */
  readonly consumers: number;
}

/** How far a named subscription is. */
export interface TopicLag {
  readonly topic: string;
  readonly subscription: string;
  readonly partitions: number;
  /** Events that nobody has been given yet. */
  readonly pending: number;
  /** Events being handled, or waiting to be delivered again. */
  readonly ackPending: number;
  /** Of these, how many have been delivered more than once. */
  readonly redelivered: number;
  /** Events that were moved past since they failed too often; as long as the topic keeps events. */
  readonly givenUp: number;
  /** When an event was last delivered or acknowledged: milliseconds since the epoch. */
  readonly lastActive: number | undefined;
}

const API_TIMEOUT_MS = 6_000; // a cluster waits for 4 s for what a lost node does not say
const NS_PER_MS = 1_000_000;

/** What the broker knows of durable topics and of those who subscribe to them. */
export class TopicStatus {
  readonly #link: Link;
  readonly #streams: Streams;
  readonly #subjects: Subjects;
  readonly #store: TopicStore;

  constructor(link: Link, subjects: Subjects, store: TopicStore) {
    this.#link = link;
    this.#streams = new Streams(link, API_TIMEOUT_MS);
    this.#subjects = subjects;
    this.#store = store;
  }

  /** The durable topics of the mesh, by name. */
  async topics(): Promise<TopicInfo[]> {
    this.#demandBroker();
    const found = await this.#streams.list(this.#subjects.event(">"));
    const own = found.filter(
      ({ config }) => config.name === this.#store.stream(topicOf(config) ?? ""),
    );
    const topics = await Promise.all(own.map(({ config }) => this.topic(topicOf(config)!)));
    return topics.toSorted((a, b) => (a.topic < b.topic ? -1 : 1));
  }

  /** One durable topic. Throws `NO_TOPIC`. */
  async topic(name: string): Promise<TopicInfo> {
    return describeTopic(await this.#info(name));
  }

  /** How far each named subscription of a topic is. Throws `NO_TOPIC`. */
  async lag(name: string): Promise<TopicLag[]> {
    const info = await this.#info(name);
    const bySubscription = Map.groupBy(
      await this.#streams.consumers(info.config.name),
      ({ config }) => config.metadata?.[SUBSCRIPTION],
    );
    return [...bySubscription]
      .filter((entry): entry is [string, ConsumerInfo[]] => entry[0] !== undefined)
      .map(([subscription, consumers]) => ({
        topic: name,
        subscription,
        partitions: consumers.length,
        pending: sum(consumers, (consumer) => consumer.num_pending),
        ackPending: sum(consumers, (consumer) => consumer.num_ack_pending),
        redelivered: sum(consumers, (consumer) => consumer.num_redelivered),
        givenUp: info.state.subjects?.[this.#store.skipped(name, subscription)] ?? 0,
        lastActive: lastActive(consumers),
      }))
      .toSorted((a, b) => (a.subscription < b.subscription ? -1 : 1));
  }

  async #info(topic: string): Promise<StreamInfo> {
    this.#demandBroker();
    const info = await this.#streams.info(
      this.#store.stream(topic),
      this.#store.skipped(topic, "*"),
    );
    if (info) return info;
    throw new MeshError(
      "NO_TOPIC",
      `There is no durable topic ${topic} in mesh ${this.#subjects.mesh}.`,
    );
  }

  /** Without a connection, asking would only wait for a timeout. */
  #demandBroker(): void {
    if (!this.#link.connected) throw new MeshError("NOT_CONNECTED", "There is no broker to ask.");
    this.#streams.demandJetStream();
  }
}

function topicOf({ metadata }: { metadata?: Record<string, string> }): string | undefined {
  return metadata?.[TOPIC];
}

function describeTopic({ config, state }: StreamInfo): TopicInfo {
  const skipped = sum(Object.values(state.subjects ?? {}), (count) => count);
  const events = state.messages - skipped;
  return {
    topic: topicOf(config) ?? "",
    partitions: Number(config.metadata?.[PARTITIONS] ?? 1),
    events,
    bytes: state.bytes,
    firstSequence: state.first_seq,
    lastSequence: state.last_seq,
    firstAt: events > 0 ? Date.parse(state.first_ts) : undefined,
    lastAt: events > 0 ? Date.parse(state.last_ts) : undefined,
    keepMs: config.max_age / NS_PER_MS,
    maxBytes: config.max_bytes > 0 ? config.max_bytes : undefined,
    dedupeMs: config.duplicate_window / NS_PER_MS,
    consumers: state.consumer_count,
  };
}

function lastActive(consumers: readonly ConsumerInfo[]): number | undefined {
  const times = consumers
    .flatMap(({ delivered, ack_floor: floor }) => [delivered.last_active, floor.last_active])
    .flatMap((time) => (time === undefined ? [] : [Date.parse(String(time))]));
  return times.length === 0 ? undefined : Math.max(...times);
}

function sum<T>(items: readonly T[], number: (item: T) => number): number {
  return items.reduce((total, item) => total + number(item), 0);
}
