import {
  KINDS,
  MeshError,
  encodePayload,
  readFrame,
  toMeshError,
  toTimerMs,
  topicPattern,
  topicSubject,
  token,
  type Duration,
  type Envelope,
  type EnvelopeFields,
  type Topic,
} from "@plexus/core";
import type { z } from "zod";
import { nowUs } from "./clock.ts";
import { Scope, currentScope, isThenable, runInScope, type Context } from "./context.ts";
import { explain } from "./route.ts";
import { Gate, type Waiting } from "./gate.ts";
import type { Cell, HistogramCell } from "./histogram.ts";
import type { LinkSubscription } from "./nats/link.ts";
import { newId, noteBadMessage, type Runtime } from "./runtime.ts";

/** Options of a publication; all but `timeout` make sense for durable topics only. */
export interface PublishOptions {
  /**
   * Identifies what is published: an event of the same id is stored once within the topic's `dedupe`. 1 to 255 printable
   * ASCII characters without spaces. Default: an id of the event's own, so that a write that is repeated counts once.
   */
  readonly id?: string;
  /** Decides the partition instead of the contract's `key`. */
  readonly key?: string;
  /** How long to try to have it stored. Default 30 s. */
  readonly timeout?: Duration;
}

/** What a subscriber is told about an event beside its value. */
export interface EventContext extends Context {
  /** Part of the NATS subject behind `<mesh>.evt.`. */
  readonly subject: string;
  /** Microseconds since the epoch by the publisher's clock. */
  readonly sentAt: number;
  /** The event's number within its publisher and subject, from 1. */
  readonly seq: number;
}

/** Options of a subscription. */
export interface SubscribeOptions<Parameter extends string = string> {
  /** Members of a group share the events: each goes to one of them. */
  readonly group?: string;
  /** Only events whose parameters have these values, selected by the broker. */
  readonly where?: { readonly [P in Parameter]?: string | number };
  /** Events handled at a time. Default 1: one after the other, in order. */
  readonly concurrency?: number;
  /** Events that may wait for the handler; more are dropped and counted as lost. Default 65,536. */
  readonly queue?: number;
  /** How long the end waits for what has arrived to be handled; then handlers are canceled. Default 30 s. */
  readonly drainTimeout?: Duration;
}

/** A running subscription; disposing it handles what has arrived and ends it. */
export interface Subscription extends AsyncDisposable {
  /** Resolves when all is handled that a replay found stored when it began; at once for other subscriptions. */
  readonly caughtUp: Promise<void>;
  /** Events handled so far. */
  readonly received: number;
  /** Events known to be lost: missing from a publisher's numbers, or dropped since the handler was slow or the end came. */
  readonly lost: number;
  unsubscribe(): Promise<void>;
}

const DEFAULT_QUEUE = 65_536;
/** What `publish` returns when there is nothing to wait for: always this one, so that a handler's can be recognized. */
const READY = Promise.resolve();

/** The publishing side of one topic. */
export class Publisher {
  readonly #runtime: Runtime;
  readonly #topic: Topic;
  readonly #published: Cell;
  readonly #subjects = new Map<string, string>();

  constructor(runtime: Runtime, topic: Topic) {
    this.#runtime = runtime;
    this.#topic = topic;
    this.#published = runtime.metrics.published.with({ topic: topic.name });
  }

  publish(value: unknown, options?: PublishOptions): Promise<void> {
    try {
      const { link, outbox } = this.#runtime;
      if (options !== undefined) refuseOptions(this.#topic, options);
      checkEvent(this.#topic, value);
      if (!link.connected) {
        this.#runtime.metrics.lost.with({ topic: this.#topic.name, reason: "not_connected" })
          .value++;
        throw new MeshError(
          "NOT_CONNECTED",
          `Topic ${this.#topic.name}: not published, there is no broker.`,
        );
      }
      const pressure = outbox.pressure();
      outbox.add(
        this.#subject(value),
        eventFields(this.#runtime, this.#topic, value),
        undefined,
        true,
      );
      this.#published.value++;
      return pressure ?? READY;
    } catch (error) {
      return Promise.reject(toMeshError(error));
    }
  }

  #subject(value: unknown): string {
    const part = topicSubject(this.#topic, value);
    let subject = this.#subjects.get(part);
    if (subject === undefined) {
      if (this.#subjects.size > 10_000) this.#subjects.clear();
      subject = this.#runtime.subjects.event(part);
      this.#subjects.set(part, subject);
    }
    return subject;
  }
}

/** Throws `INVALID_INPUT` for what is no event of this topic. */
export function checkEvent(topic: Topic, value: unknown): void {
  const parsed = topic.schema.safeParse(value);
  if (parsed.success) return;
  throw new MeshError("INVALID_INPUT", `Topic ${topic.name}: ${explain(parsed.error)}`, {
    details: parsed.error.issues,
  });
}

/** The envelope of an event that is published now. */
export function eventFields(runtime: Runtime, topic: Topic, value: unknown): EnvelopeFields {
  const scope = currentScope();
  return {
    kind: KINDS.event,
    id: newId(),
    sender: runtime.client,
    name: topic.name,
    sentAt: nowUs(),
    parents: scope ? [scope.id] : undefined,
    trace: scope?.traceparent,
    payload: encodePayload(value),
  };
}

/** The value of an event that has arrived. Throws `INVALID_INPUT`. */
export function eventValue(topic: Topic, envelope: Envelope): unknown {
  const parsed = topic.schema.safeParse(envelope.value);
  if (parsed.success) return parsed.data;
  throw new MeshError("INVALID_INPUT", `Topic ${topic.name}: ${explain(parsed.error)}`);
}

function refuseOptions({ name }: Topic, { id, key }: PublishOptions): void {
  if (id === undefined && key === undefined) return;
  throw new MeshError(
    "INVALID_CONTRACT",
    `Topic ${name} is not declared durable: nobody remembers an id, and there are no partitions.`,
  );
}

/** An event on its way to a handler: also the context that the handler sees. */
class Delivery extends Scope implements EventContext, Waiting {
  readonly subject: string;
  readonly sentAt: number;
  readonly seq: number;
  readonly envelope: Envelope;
  readonly #subscriber: Subscriber;

  constructor(subscriber: Subscriber, runtime: Runtime, envelope: Envelope, subject: string) {
    super(envelope, Infinity, runtime.log);
    this.#subscriber = subscriber;
    this.subject = subject;
    this.sentAt = envelope.sentAt;
    this.seq = envelope.seq;
    this.envelope = envelope;
  }

  start(): void {
    this.#subscriber.handle(this);
  }
}

/** The subscribing side of one topic. */
export class Subscriber implements Subscription {
  readonly #runtime: Runtime;
  readonly #topic: Topic;
  readonly #handler: (value: unknown, context: EventContext) => unknown;
  readonly #gate: Gate;
  readonly #subscription: LinkSubscription;
  readonly #grouped: boolean;
  readonly #prefix: number;
  readonly #numbers = new Map<string, Map<string, number>>();
  /** Of durable topics: the last event of each publisher, as what had to be published again passes twice. */
  readonly #latest = new Map<string, string>();
  readonly #receivedCell: Cell;
  readonly #latency: HistogramCell;
  readonly #drainTimeoutMs: number;
  readonly #onEnd: () => void;
  readonly #running = new Set<Delivery>();
  readonly caughtUp = READY;
  #received = 0;
  #lost = 0;
  #ended: Promise<void> | undefined;
  #subject = "";
  readonly #visit = (envelope: Envelope): void => this.#arrive(envelope);

  constructor(
    runtime: Runtime,
    topic: Topic,
    handler: (value: unknown, context: EventContext) => unknown,
    options: SubscribeOptions,
    onEnd: () => void,
  ) {
    const { concurrency = 1, queue = DEFAULT_QUEUE, group } = options;
    if (!Number.isInteger(concurrency) || concurrency < 1) {
      throw new MeshError("INVALID_CONTRACT", `concurrency must be 1 or more, not ${concurrency}.`);
    }
    this.#runtime = runtime;
    this.#topic = topic;
    this.#handler = handler;
    this.#drainTimeoutMs = toTimerMs(options.drainTimeout ?? "30s");
    this.#onEnd = onEnd;
    this.#gate = new Gate(concurrency, queue);
    this.#grouped = group !== undefined;
    this.#prefix = runtime.subjects.event("").length;
    this.#receivedCell = runtime.metrics.received.with({ topic: topic.name });
    this.#latency = runtime.metrics.eventLatency;
    const subject = runtime.subjects.event(topicPattern(topic, options.where));
    this.#subscription = runtime.link.subscribe(
      subject,
      (data, from) => {
        this.#subject = from;
        try {
          readFrame(data, this.#visit);
        } catch (error) {
          noteBadMessage(runtime, error, from);
        }
      },
      group === undefined ? {} : { queue: token("Group", group) },
    );
  }

  get received(): number {
    return this.#received;
  }

  get lost(): number {
    return this.#lost;
  }

  unsubscribe(): Promise<void> {
    return (this.#ended ??= this.#end());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.unsubscribe();
  }

  /** Runs the handler for one event; the gate has given it a slot. */
  handle(delivery: Delivery): void {
    let value: unknown;
    try {
      value = eventValue(this.#topic, delivery.envelope);
    } catch (error) {
      noteBadMessage(this.#runtime, error, delivery.subject);
      this.#gate.release();
      return;
    }
    this.#received++;
    this.#receivedCell.value++;
    try {
      const result = runInScope(delivery, this.#handler, value, delivery);
      if (isThenable(result) && result !== READY) {
        this.#running.add(delivery);
        result.then(
          () => this.#done(delivery),
          (error: unknown) => this.#failed(delivery, error),
        );
      } else this.#gate.release();
    } catch (error) {
      this.#failed(delivery, error);
    }
  }

  #done(delivery: Delivery): void {
    this.#running.delete(delivery);
    this.#gate.release();
  }

  #failed(delivery: Delivery, error: unknown): void {
    const topic = this.#topic.name;
    this.#runtime.metrics.handlerErrors.with({ topic }).value++;
    this.#runtime.log.warn({ err: error, topic }, "subscriber failed");
    this.#done(delivery);
  }

  #arrive(envelope: Envelope): void {
    if (envelope.kind !== KINDS.event) {
      noteBadMessage(this.#runtime, new MeshError("BAD_MESSAGE", "Not an event."), this.#subject);
      return;
    }
    this.#latency.observe(Math.max(0, nowUs() - envelope.sentAt) / 1e6);
    if (this.#topic.durable && this.#isRepeated(envelope)) return;
    if (!this.#grouped && envelope.seq > 0) this.#checkNumber(envelope.sender, envelope.seq);
    const subject = this.#subject.slice(this.#prefix);
    const delivery = new Delivery(this, this.#runtime, envelope, subject);
    if (!this.#gate.admit(delivery)) this.#lose(1, "slow_consumer");
  }

  /** Ids of one publisher rise, and it has one write under way at a time: what does not rise was there before. */
  #isRepeated({ sender, id }: Envelope): boolean {
    const latest = this.#latest.get(sender);
    if (latest !== undefined && id <= latest) return true;
    if (this.#latest.size > 10_000) this.#latest.clear();
    this.#latest.set(sender, id);
    return false;
  }

  /** Members of a group see a share of the numbers, so only a lone subscriber can tell what is missing. */
  #checkNumber(sender: string, seq: number): void {
    let numbers = this.#numbers.get(sender);
    if (numbers === undefined) {
      if (this.#numbers.size > 10_000) this.#numbers.clear();
      numbers = new Map();
      this.#numbers.set(sender, numbers);
    }
    const last = numbers.get(this.#subject);
    if (numbers.size > 10_000) numbers.clear();
    numbers.set(this.#subject, seq);
    if (last !== undefined && seq > last + 1) this.#lose(seq - last - 1, "gap");
  }

  #lose(count: number, reason: string): void {
    const topic = this.#topic.name;
    this.#lost += count;
    const cell = this.#runtime.metrics.lost.with({ topic, reason });
    if (cell.value === 0) this.#runtime.log.warn({ topic, reason, count }, "events lost");
    cell.value += count;
  }

  async #end(): Promise<void> {
    await this.#subscription.drain();
    const { promise: gaveUp, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(() => {
      this.#lose(this.#gate.clear(), "shutdown");
      const reason = new MeshError("CANCELED", "The subscription has ended.");
      for (const delivery of this.#running) delivery.cancel(reason);
      resolve();
    }, this.#drainTimeoutMs);
    await Promise.race([this.#gate.idle(), gaveUp]);
    clearTimeout(timer);
    this.#onEnd();
  }
}

/** A handler's view of an event's value. */
export type EventHandler<T extends Topic> = (
  value: z.output<T["schema"]>,
  context: EventContext,
) => unknown;
