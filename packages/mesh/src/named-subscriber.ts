import { MeshError, isMeshError, toMeshError, toTimerMs, token, type Topic } from "@plexus/core";
import { isThenable, runInScope } from "./context.ts";
import { EventFailures } from "./event-failures.ts";
import { eventValue, type Subscription } from "./events.ts";
import { Gate } from "./gate.ts";
import type { Cell } from "./histogram.ts";
import { StandingPull, type StoredDelivery } from "./nats/standing-pull.ts";
import type { From } from "./nats/topic-store.ts";
import { noteBadMessage, type Runtime } from "./runtime.ts";
import {
  StoredEvent,
  checkFrom,
  readStored,
  type NamedSubscribeOptions,
  type StoredEventContext,
} from "./stored-event.ts";
import { ACK, Lane, NAK, type LaneOwner } from "./topic-lane.ts";
import type { TopicServices } from "./topic-services.ts";

const WINDOW = 256; // requests that stay open at the broker for a partition; it answers one at a time
const MIN_ACK_WAIT_MS = 300;
const HAND_BACK_MS = 500; // for handlers that were canceled to come to an end
const CAUGHT_UP = Promise.resolve();

/** A member of a subscription that resumes where it stopped: works on one event of each partition at a time. */
export class NamedSubscriber implements Subscription, LaneOwner {
  readonly caughtUp = CAUGHT_UP;
  readonly #services: TopicServices;
  readonly #runtime: Runtime;
  readonly #topic: Topic;
  readonly #handler: (value: unknown, context: StoredEventContext) => unknown;
  readonly #name: string;
  readonly #from: From;
  readonly #where: NamedSubscribeOptions["where"];
  readonly #failures: EventFailures;
  readonly #ackWaitMs: number;
  readonly #drainTimeoutMs: number;
  readonly #gate: Gate;
  readonly #prefix: number;
  readonly #onEnd: () => void;
  readonly #receivedCell: Cell;
  readonly #redeliveredCell: Cell;
  #lanes: Lane[] = [];
  #beats: NodeJS.Timeout | undefined;
  #received = 0;
  #recovering = false;
  #ended: Promise<void> | undefined;
  #onIdle: (() => void) | undefined;

  constructor(
    services: TopicServices,
    topic: Topic,
    handler: (value: unknown, context: StoredEventContext) => unknown,
    options: NamedSubscribeOptions,
    onEnd: () => void,
  ) {
    const { name, from = "new", where, ackWait = "5s" } = options;
    const { concurrency = topic.durable?.partitions ?? 1 } = options;
    const demand = (condition: boolean, text: string): void => {
      if (!condition) throw new MeshError("INVALID_CONTRACT", `Subscription ${name}: ${text}.`);
    };
    checkFrom(from);
    demand(!("group" in options), "members of a name are a group already");
    demand(Number.isInteger(concurrency) && concurrency >= 1, "concurrency must be 1 or more");
    this.#ackWaitMs = toTimerMs(ackWait);
    demand(this.#ackWaitMs >= MIN_ACK_WAIT_MS, `ackWait must be at least ${MIN_ACK_WAIT_MS} ms`);
    this.#services = services;
    this.#runtime = services.runtime;
    this.#topic = topic;
    this.#handler = handler;
    this.#name = token("Subscription", name);
    this.#from = from;
    this.#where = where;
    this.#failures = new EventFailures(services, topic, options);
    this.#drainTimeoutMs = toTimerMs(options.drainTimeout ?? "30s");
    this.#gate = new Gate(concurrency, Infinity);
    this.#prefix = this.#runtime.subjects.event("").length;
    this.#onEnd = onEnd;
    const { received, redelivered } = this.#runtime.metrics;
    this.#receivedCell = received.with({ topic: topic.name });
    this.#redeliveredCell = redelivered.with({ topic: topic.name, subscription: name });
  }

  get received(): number {
    return this.#received;
  }

  /** Events given up by this member. */
  get lost(): number {
    return this.#failures.givenUp;
  }

  /** Begins: from then on, everything that is published arrives. */
  async open(): Promise<void> {
    const { link } = this.#runtime;
    const addresses = await this.#services.atFirst(this.#topic, () => this.#make());
    const inbox = this.#services.nextInbox();
    this.#lanes = addresses.map((address, partition) => {
      const lane = new Lane(this, partition);
      lane.pull = new StandingPull(link, `${inbox}.p${partition}`, address, WINDOW, {
        take: (delivery) => lane.take(delivery),
        failed: (why) => this.#recover(why),
      });
      return lane;
    });
    this.#beats = setInterval(() => {
      for (const lane of this.#lanes) lane.beat();
    }, this.#ackWaitMs / 3);
  }

  restored(): void {
    for (const lane of this.#lanes) lane.restored();
  }

  unsubscribe(): Promise<void> {
    return (this.#ended ??= this.#end());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.unsubscribe();
  }

  event(delivery: StoredDelivery, partition: number): StoredEvent {
    if (delivery.deliveries > 1) this.#redeliveredCell.value++;
    const place = { subject: delivery.subject.slice(this.#prefix), partition };
    const { log } = this.#runtime;
    return new StoredEvent(readStored(delivery), delivery, place, log, (event) =>
      this.#start(event),
    );
  }

  admit(event: StoredEvent): void {
    this.#gate.admit(event);
  }

  unreadable(delivery: StoredDelivery, lane: Lane, error: MeshError): void {
    noteBadMessage(this.#runtime, error, delivery.subject);
    void this.#concludeUnreadable(delivery, lane, error);
  }

  answer(ack: string, answer: Uint8Array): boolean {
    return this.#runtime.link.publish(ack, answer);
  }

  /** Runs the handler for one event; it is its partition's turn, and there is a slot. */
  #start(event: StoredEvent): void {
    if (event.deliveries > this.#failures.maxDeliveries) {
      const text = `It was delivered ${event.deliveries - 1} times, and its handler never ended.`;
      this.#concludeFailed(event, new MeshError("AGENT_LOST", text));
      return;
    }
    try {
      const value = eventValue(this.#topic, event.envelope);
      this.#received++;
      this.#receivedCell.value++;
      const result = runInScope(event, this.#handler, value, event);
      if (!isThenable(result)) this.#conclude(event, ACK);
      else {
        result.then(
          () => this.#conclude(event, ACK),
          (error: unknown) => this.#concludeFailed(event, error),
        );
      }
    } catch (error) {
      this.#concludeFailed(event, error);
    }
  }

  #concludeFailed(event: StoredEvent, thrown: unknown): void {
    if (event.canceled) {
      this.#conclude(event, NAK); // it was told to stop: no failure of its own
      return;
    }
    void this.#concludeWith(event, this.#failures.answer(event, toMeshError(thrown)));
  }

  async #concludeWith(event: StoredEvent, answer: Promise<Uint8Array>): Promise<void> {
    this.#conclude(event, await answer);
  }

  async #concludeUnreadable(delivery: StoredDelivery, lane: Lane, error: MeshError): Promise<void> {
    lane.answer(delivery, await this.#failures.answer(delivery, error));
    lane.pull?.release();
  }

  #conclude(event: StoredEvent, answer: Uint8Array): void {
    this.#lanes[event.partition]?.done(event, answer);
    this.#gate.release();
    if (this.#ended && this.#idle) this.#onIdle?.();
  }

  /** Makes the consumers, or finds them. */
  async #make(): Promise<{ stream: string; consumer: string }[]> {
    const { store } = this.#services;
    await store.open(this.#topic);
    return store.subscription(
      this.#topic,
      this.#name,
      this.#from,
      this.#where ?? {},
      this.#ackWaitMs,
    );
  }

  /** A consumer does not answer: what is not there is made again, and asked again. */
  #recover(why: string): void {
    if (this.#ended || this.#recovering) return;
    this.#recovering = true;
    void this.#remake(why);
  }

  async #remake(why: string): Promise<void> {
    const { log } = this.#runtime;
    const about = { topic: this.#topic.name, subscription: this.#name, why };
    try {
      await this.#services.afterFailure(
        this.#topic,
        () => this.#make(),
        () => this.#ended !== undefined,
      );
      log.debug(about, "asking for events again");
      for (const lane of this.#lanes) {
        if (why.includes("Leadership")) lane.remember(); // another broker answers for the consumers from now on
        lane.pull?.resume();
      }
    } catch (error) {
      if (this.#ended || isMeshError(error, "CANCELED")) return;
      log.error({ err: error, ...about }, "a subscription gets no events any more");
    } finally {
      this.#recovering = false;
    }
  }

  get #idle(): boolean {
    return this.#lanes.every((lane) => lane.idle);
  }

  async #end(): Promise<void> {
    await Promise.all(this.#lanes.map((lane) => lane.stop()));
    if (!(await this.#idleWithin(this.#drainTimeoutMs))) {
      const reason = new MeshError("CANCELED", "The subscription has ended.");
      for (const lane of this.#lanes) lane.handBack(reason);
      await Promise.race([
        this.#gate.idle(),
        new Promise((resolve) => setTimeout(resolve, HAND_BACK_MS)),
      ]);
    }
    clearInterval(this.#beats);
    await this.#runtime.link.settle(); // the broker has heard what became of every event
    this.#onEnd();
  }

  /** True when nothing is being handled any more; false after `ms`. */
  #idleWithin(ms: number): Promise<boolean> {
    if (this.#idle) return Promise.resolve(true);
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), ms);
      this.#onIdle = () => {
        clearTimeout(timer);
        resolve(true);
      };
    });
  }
}
