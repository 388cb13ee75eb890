import { MeshError, backoffMs, toMs, type Backoff, type Topic } from "@plexus/core";
import type { NamedSubscribeOptions } from "./stored-event.ts";
import { ACK, NAK } from "./topic-lane.ts";
import type { TopicServices } from "./topic-services.ts";

/** What becomes of the events that a named subscription cannot handle: delivered again for a while, then given up. */
export class EventFailures {
  readonly maxDeliveries: number;
  readonly #services: TopicServices;
  readonly #topic: Topic;
  readonly #subscription: string;
  readonly #backoff: Backoff;
  #givenUp = 0;

  constructor(services: TopicServices, topic: Topic, options: NamedSubscribeOptions) {
    const { name, maxDeliveries = 10, retry: { first = "100ms", max = "10s" } = {} } = options;
    if (!Number.isInteger(maxDeliveries) || maxDeliveries < 1) {
      throw new MeshError(
        "INVALID_CONTRACT",
        `Subscription ${name}: maxDeliveries must be 1 or more.`,
      );
    }
    this.#services = services;
    this.#topic = topic;
    this.#subscription = name;
    this.maxDeliveries = maxDeliveries;
    this.#backoff = { firstMs: toMs(first), maxMs: toMs(max), factor: 2 };
  }

  /** Events that were given up here. */
  get givenUp(): number {
    return this.#givenUp;
  }

  /** What to tell the broker about an event that could not be handled. */
  async answer(
    { sequence, deliveries }: { readonly sequence: number; readonly deliveries: number },
    error: MeshError,
  ): Promise<Uint8Array> {
    const topic = this.#topic.name;
    const subscription = this.#subscription;
    const about = { topic, subscription, sequence, deliveries };
    const { metrics, log } = this.#services.runtime;
    metrics.handlerErrors.with({ topic }).value++;
    if (deliveries < this.maxDeliveries) {
      log.warn({ err: error, ...about }, "subscriber failed, the event will be delivered again");
      const delayNs = Math.ceil(backoffMs(this.#backoff, deliveries, Math.random) * 1e6);
      return Buffer.from(`-NAK {"delay":${delayNs}}`);
    }
    try {
      await this.#services.noteSkipped(this.#topic, subscription, { sequence, deliveries, error });
    } catch (cause) {
      log.warn({ err: cause, ...about }, "an event could not be given up yet");
      return NAK;
    }
    this.#givenUp++;
    metrics.givenUp.with({ topic, subscription }).value++;
    log.error({ err: error, ...about }, "event given up: the subscription goes on behind it");
    return ACK;
  }
}
