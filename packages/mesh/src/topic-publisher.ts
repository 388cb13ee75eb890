import {
  MeshError,
  partitionSubject,
  toMeshError,
  toMs,
  topicPartition,
  topicSubject,
  type Topic,
} from "@plexus/core";
import { nowMs } from "./clock.ts";
import { checkEvent, eventFields, type PublishOptions } from "./events.ts";
import type { Cell } from "./histogram.ts";
import type { TopicStore } from "./nats/topic-store.ts";
import type { Runtime } from "./runtime.ts";
import { envelopeBytes } from "./task-message.ts";
import type { TopicServices } from "./topic-services.ts";
import type { TopicWriter } from "./topic-writer.ts";

const ID = /^[!-~]{1,255}$/;
const DEFAULT_TIMEOUT_MS = 30_000;

/** The publishing side of one durable topic: makes of a value what is stored. */
export class DurablePublisher {
  readonly #runtime: Runtime;
  readonly #store: TopicStore;
  readonly #topic: Topic;
  readonly #writer: TopicWriter;
  readonly #published: Cell;

  constructor({ runtime, store }: TopicServices, topic: Topic, writer: TopicWriter) {
    this.#runtime = runtime;
    this.#store = store;
    this.#topic = topic;
    this.#writer = writer;
    this.#published = runtime.metrics.published.with({ topic: topic.name });
  }

  async publish(value: unknown, { id, key, timeout }: PublishOptions = {}): Promise<void> {
    try {
      const topic = this.#topic;
      this.#store.demandPartitions(topic);
      checkEvent(topic, value);
      if (id !== undefined && !ID.test(id)) {
        throw new MeshError(
          "INVALID_INPUT",
          `Topic ${topic.name}: an id is 1 to 255 printable ASCII characters without spaces.`,
        );
      }
      const part = topicSubject(topic, value);
      const partition = topicPartition(topic, value, part, key);
      const subject = this.#runtime.subjects.event(partitionSubject(topic, part, partition));
      const fields = eventFields(this.#runtime, topic, value);
      const data = envelopeBytes({ ...fields, seq: this.#writer.nextNumber(subject) });
      this.#writer.demandRoom(data);
      const timeoutMs = timeout === undefined ? DEFAULT_TIMEOUT_MS : toMs(timeout);
      // Only as long as the broker remembers the id may a write be repeated.
      const deadlineMs = nowMs() + Math.min(timeoutMs, topic.durable?.dedupeMs ?? timeoutMs);
      await this.#writer.add(subject, data, id ?? fields.id, deadlineMs);
      this.#published.value++;
    } catch (error) {
      throw toMeshError(error);
    }
  }
}
