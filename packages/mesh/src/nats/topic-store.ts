import {
  AckPolicy,
  DeliverPolicy,
  DiscardPolicy,
  RetentionPolicy,
  type ConsumerConfig,
  type ConsumerInfo,
} from "@nats-io/jetstream";
import {
  MeshError,
  isMeshError,
  parameterPattern,
  partitionSubject,
  topicPattern,
  type ResolvedDurableTopic,
  type Subjects,
  type Topic,
} from "@plexus/core";
import type { Link } from "./link.ts";
import { Streams } from "./streams.ts";

/** Where a subscription to a durable topic begins. */
export type From =
  | "new"
  | "all"
  | { readonly sequence: number }
  /** Milliseconds since the epoch, by the broker's clock. */
  | { readonly time: number | Date };

/** One consumer of a stream. */
export interface ConsumerAddress {
  readonly stream: string;
  readonly consumer: string;
}

// Everything here is asked again, and a cluster that has just lost a node may entrust that one with a replay: then with another one.
const API_TIMEOUT_MS = 3_000;
const PATIENCE_MS = 0;
const NS_PER_MS = 1_000_000;
const OVERLAP = 10_065;
/** Metadata of a topic's stream and of its consumers. */
export const TOPIC = "plexus-topic";
/** Metadata of a topic's stream. */
export const PARTITIONS = "plexus-partitions";
/** Metadata of the consumers of a named subscription. */
export const SUBSCRIPTION = "plexus-subscription";
const REPLAY_KEPT_MS = 60_000; // a replay that has not been asked for that long is forgotten
const MAX_WAITING = 8_192; // members of a subscription, in effect

/** The streams of durable topics, one each, and the consumers of those who subscribe by name. All on file. */
export class TopicStore {
  readonly #streams: Streams;
  readonly #subjects: Subjects;
  readonly #opened = new Map<string, Promise<void>>();
  /** Of each topic that this process has met. */
  readonly #partitions = new Map<string, number>();

  constructor(link: Link, subjects: Subjects) {
    this.#streams = new Streams(link, API_TIMEOUT_MS, PATIENCE_MS);
    this.#subjects = subjects;
  }

  stream(topic: string): string {
    return `${this.#subjects.mesh}-evt-${oneToken(topic)}`;
  }

  /** Where it is noted that a subscription has given an event up. */
  skipped(topic: string, subscription: string): string {
    return this.#subjects.skipped(oneToken(topic), subscription);
  }

  /** Makes sure that the topic's stream exists. Throws `INVALID_CONTRACT` if it is there with other partitions. */
  async open(topic: Topic): Promise<void> {
    const { name } = topic;
    this.demandPartitions(topic);
    let opened = this.#opened.get(name);
    if (opened === undefined) {
      opened = this.#open(topic, demandDurable(topic));
      this.#opened.set(name, opened);
      opened.catch(() => this.forget(name));
    }
    return opened;
  }

  /** Throws `INVALID_CONTRACT` if this process has used the topic with other partitions. */
  demandPartitions(topic: Topic): void {
    const { name } = topic;
    const { partitions } = demandDurable(topic);
    const known = this.#partitions.get(name);
    if (known === undefined) this.#partitions.set(name, partitions);
    else if (known !== partitions) throw otherPartitions(name, known, partitions);
  }

  /** The stream of this topic, or of all, has to be made sure of again: the broker may have lost it. */
  forget(topic?: string): void {
    if (topic === undefined) this.#opened.clear();
    else this.#opened.delete(topic);
  }

  /**
   * Makes sure that the consumers of a named subscription exist, one for each partition. The first one decides where
   * all of them begin: whoever makes the rest, later or at the same time, takes it from there.
   */
  async subscription(
    topic: Topic,
    name: string,
    from: From,
    where: Readonly<Record<string, string | number | undefined>>,
    ackWaitMs: number,
  ): Promise<ConsumerAddress[]> {
    const stream = this.stream(topic.name);
    const { partitions } = demandDurable(topic);
    const pattern = parameterPattern(topic, where);
    const make = async (i: number, start: Partial<ConsumerConfig>): Promise<ConsumerInfo> => {
      const config = {
        durable_name: `${name}+p${i}`,
        filter_subject: this.#subjects.event(partitionSubject(topic, pattern, i)),
        ack_policy: AckPolicy.Explicit,
        ack_wait: ackWaitMs * NS_PER_MS,
        max_deliver: -1, // counted by whoever takes it: then it can be told
        max_ack_pending: 1, // the next one only when this one is done: order, whoever the members are
        max_waiting: MAX_WAITING,
        metadata: { [TOPIC]: topic.name, [SUBSCRIPTION]: name },
        ...start,
      };
      const made =
        (await this.#streams.addConsumer(stream, config)) ??
        (await this.#streams.updateConsumer(stream, config.durable_name, {
          ack_wait: config.ack_wait,
        }));
      if (made.config.filter_subject === config.filter_subject) return made;
      throw new MeshError(
        "INVALID_CONTRACT",
        `Subscription ${name} to topic ${topic.name} exists with another "where".`,
      );
    };
    const first = await make(0, await this.#start(stream, from));
    const { deliver_policy, opt_start_seq, opt_start_time } = first.config;
    const start = {
      deliver_policy,
      ...(opt_start_seq === undefined ? {} : { opt_start_seq }),
      ...(opt_start_time === undefined ? {} : { opt_start_time }),
    };
    const others = Array.from({ length: partitions - 1 }, (_, i) => make(i + 1, start));
    const all = [first, ...(await Promise.all(others))];
    return all.map((info) => ({ stream, consumer: info.name }));
  }

  /**
   * Makes a consumer that lives as long as it is read; tells where it begins, "new" being decided now, and how many events
   * it has before it.
   */
  async replay(
    topic: Topic,
    id: string,
    from: From,
    where: Readonly<Record<string, string | number | undefined>>,
  ): Promise<ConsumerAddress & { readonly from: From; readonly pending: number }> {
    const stream = this.stream(topic.name);
    const made = await this.#streams.addConsumer(stream, {
      name: id,
      filter_subject: this.#subjects.event(topicPattern(topic, where)),
      ack_policy: AckPolicy.None,
      inactive_threshold: REPLAY_KEPT_MS * NS_PER_MS,
      mem_storage: true,
      num_replicas: 1,
      metadata: { [TOPIC]: topic.name },
      ...(await this.#start(stream, from)),
    });
    if (made === undefined) throw new MeshError("CONFLICT", `Replay ${id} exists.`);
    const { opt_start_seq: sequence } = made.config;
    const begins = sequence === undefined ? from : { sequence };
    return { stream, consumer: made.name, from: begins, pending: made.num_pending };
  }

  async endReplay({ stream, consumer }: ConsumerAddress): Promise<void> {
    await this.#streams.deleteConsumer(stream, consumer);
  }

  async #open(topic: Topic, durable: ResolvedDurableTopic): Promise<void> {
    this.#streams.demandJetStream();
    const { name } = topic;
    const stream = this.stream(name);
    const limits = {
      max_age: durable.keepMs * NS_PER_MS,
      max_bytes: durable.maxBytes ?? -1,
      duplicate_window: durable.dedupeMs * NS_PER_MS,
    };
    try {
      const made = await this.#streams.make({
        name: stream,
        subjects: [this.#subjects.event(topicPattern(topic)), this.skipped(name, "*")],
        retention: RetentionPolicy.Limits,
        discard: DiscardPolicy.Old,
        allow_atomic: true,
        metadata: { [TOPIC]: name, [PARTITIONS]: String(durable.partitions) },
        ...limits,
      });
      if (made) return;
    } catch (error) {
      if (!isMeshError(error, "INCOMPATIBLE_BROKER") || error.details !== OVERLAP) throw error;
      throw new MeshError(
        "INVALID_CONTRACT",
        `Topic ${name} cannot be durable: its subjects are those of another durable topic, too.`,
        { cause: error },
      );
    }
    const info = await this.#streams.info(stream);
    const there = info?.config.metadata?.[PARTITIONS];
    if (there !== undefined && there !== String(durable.partitions)) {
      this.#partitions.delete(name);
      throw otherPartitions(name, Number(there), durable.partitions);
    }
    await this.#streams.update(stream, limits); // who declares it last decides how long it is kept
  }

  /** Consumers of several partitions cannot all begin with what is new, one being made after the other: a number can. */
  async #start(stream: string, from: From): Promise<Partial<ConsumerConfig>> {
    if (typeof from === "object" && "time" in from) {
      const opt_start_time = new Date(from.time).toISOString();
      return { deliver_policy: DeliverPolicy.StartTime, opt_start_time };
    }
    let opt_start_seq = 1;
    if (from === "new")
      opt_start_seq = ((await this.#streams.info(stream))?.state.last_seq ?? 0) + 1;
    else if (from !== "all") opt_start_seq = from.sequence;
    return { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq };
  }
}

/** A topic's name as one token of a subject or of a stream's name. */
function oneToken(topic: string): string {
  return topic.replaceAll(".", "+");
}

function demandDurable({ name, durable }: Topic): ResolvedDurableTopic {
  if (durable) return durable;
  throw new MeshError(
    "INVALID_CONTRACT",
    `Topic ${name} is not declared durable: nothing is stored.`,
  );
}

function otherPartitions(topic: string, there: number, wanted: number): MeshError {
  const text = `Topic ${topic} is stored in ${there} partitions, not in ${wanted}: keys would move.`;
  return new MeshError("INVALID_CONTRACT", text);
}
