import {
  KINDS,
  MeshError,
  readFrame,
  type Duration,
  type Envelope,
  type Topic,
} from "@plexus/core";
import type { z } from "zod";
import { Scope } from "./context.ts";
import type { EventContext, SubscribeOptions } from "./events.ts";
import type { Waiting } from "./gate.ts";
import type { Logger } from "./log.ts";
import type { StoredDelivery } from "./nats/standing-pull.ts";
import type { From } from "./nats/topic-store.ts";

/** What a subscriber that reads the store is told about an event. */
export interface StoredEventContext extends EventContext {
  /** What it was published with as `id`, else an id of its own: the same however often it is delivered. */
  readonly eventId: string;
  /** Its number in the topic's stream. Rises, with gaps. */
  readonly sequence: number;
  /** When it was stored, by the broker's clock: milliseconds since the epoch. */
  readonly storedAt: number;
  readonly partition: number;
  /** How many times it has been delivered, this time included. */
  readonly deliveries: number;
}

/** A handler's view of the value of an event that was stored. */
export type StoredEventHandler<T extends Topic> = (
  value: z.output<T["schema"]>,
  context: StoredEventContext,
) => unknown;

/** Options of a subscription that resumes where it stopped. */
export interface NamedSubscribeOptions<Parameter extends string = string> extends Pick<
  SubscribeOptions<Parameter>,
  "where" | "drainTimeout"
> {
  /** Subscriptions of the same name are one: it goes on where it was, and its members share the events. */
  readonly name: string;
  /** Where it begins the first time. Default "new". */
  readonly from?: From;
  /** Partitions that this process works on at a time. Default: all. */
  readonly concurrency?: number;
  /** How often an event is delivered, whoever fails, before it is given up. Default 10. */
  readonly maxDeliveries?: number;
  /** How long the broker waits for a sign of life before it gives an event to another member. Default 5 s. */
  readonly ackWait?: Duration;
  /** The first and the longest pause before an event is delivered again. Defaults 100 ms and 10 s. */
  readonly retry?: { readonly first?: Duration; readonly max?: Duration };
}

/** Options of a subscription that reads what is stored, then what is published. */
export interface ReplayOptions<Parameter extends string = string> extends Pick<
  SubscribeOptions<Parameter>,
  "where" | "drainTimeout"
> {
  readonly from: From;
}

/** An event as it is stored. */
export interface StoredEventValue<Value = unknown> {
  readonly value: Value;
  /** As in {@link StoredEventContext}. */
  readonly eventId: string;
  readonly sequence: number;
  readonly storedAt: number;
}

/** True for the options of a subscription that resumes where it stopped. */
export function isNamed(options: object): options is NamedSubscribeOptions {
  return (options as Partial<NamedSubscribeOptions>).name !== undefined;
}

/** True for the options of a subscription that reads the store. */
export function readsStore(options: object): options is NamedSubscribeOptions | ReplayOptions {
  return isNamed(options) || (options as Partial<ReplayOptions>).from !== undefined;
}

/** A stored event on its way to a handler: also the context that the handler sees. */
export class StoredEvent extends Scope implements StoredEventContext, Waiting {
  readonly envelope: Envelope;
  readonly subject: string;
  readonly partition: number;
  #delivery: StoredDelivery;
  readonly #begin: (event: StoredEvent) => void;

  constructor(
    envelope: Envelope,
    delivery: StoredDelivery,
    place: { readonly subject: string; readonly partition: number },
    log: Logger,
    begin: (event: StoredEvent) => void,
  ) {
    super(envelope, Infinity, log);
    this.envelope = envelope;
    this.subject = place.subject;
    this.partition = place.partition;
    this.#delivery = delivery;
    this.#begin = begin;
  }

  get sentAt(): number {
    return this.envelope.sentAt;
  }

  get seq(): number {
    return this.envelope.seq;
  }

  get eventId(): string {
    return this.#delivery.headers?.get("Nats-Msg-Id") || this.id;
  }

  get sequence(): number {
    return this.#delivery.sequence;
  }

  get storedAt(): number {
    return this.#delivery.storedAt;
  }

  get deliveries(): number {
    return this.#delivery.deliveries;
  }

  get pending(): number {
    return this.#delivery.pending;
  }

  /** Where the acknowledgement of its last delivery goes. */
  get ack(): string {
    return this.#delivery.ack;
  }

  /** It was delivered once more: that delivery is acknowledged. */
  adopt(delivery: StoredDelivery): void {
    this.#delivery = delivery;
  }

  start(): void {
    this.#begin(this);
  }
}

/** The envelope of a stored event. Throws `BAD_MESSAGE`. */
export function readStored({ data }: Pick<StoredDelivery, "data">): Envelope {
  const envelopes: Envelope[] = [];
  readFrame(data, (envelope) => envelopes.push(envelope));
  const [envelope] = envelopes;
  if (envelopes.length > 1) {
    const why = "a publisher whose contract is not durable has sent a frame of several events.";
    throw new MeshError("BAD_MESSAGE", `Not an event of a durable topic: ${why}`);
  }
  if (envelope?.kind === KINDS.event) return envelope;
  throw new MeshError("BAD_MESSAGE", "Not an event.");
}

/** Throws `INVALID_CONTRACT` for a beginning that is none. */
export function checkFrom(from: From): void {
  if (from === "new" || from === "all") return;
  if (typeof from === "object" && from !== null) {
    if ("sequence" in from && Number.isSafeInteger(from.sequence) && from.sequence >= 1) return;
    if ("time" in from && !Number.isNaN(new Date(from.time).getTime())) return;
  }
  throw new MeshError(
    "INVALID_CONTRACT",
    'from is "new", "all", { sequence } from 1 or { time } as a Date or milliseconds since the epoch.',
  );
}
