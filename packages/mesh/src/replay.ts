import { MeshError, isMeshError, toMeshError, toTimerMs, type Topic } from "@plexus/core";
import { isThenable, runInScope } from "./context.ts";
import { eventValue, type Subscription } from "./events.ts";
import { Gate } from "./gate.ts";
import { StandingPull, type StoredDelivery } from "./nats/standing-pull.ts";
import type { ConsumerAddress, From } from "./nats/topic-store.ts";
import { newId, noteBadMessage, type Runtime } from "./runtime.ts";
import {
  StoredEvent,
  checkFrom,
  readStored,
  type ReplayOptions,
  type StoredEventContext,
} from "./stored-event.ts";
import type { TopicServices } from "./topic-services.ts";

const WINDOW = 512; // events asked for or waiting for the handler

/**
 * Reads a durable topic from some point on, in order, and goes on with what is published. Nothing is acknowledged: it
 * remembers where it is only as long as it lives, and has the broker begin again there when anything is missing.
 */
export class Replay implements Subscription {
  readonly caughtUp: Promise<void>;
  readonly #services: TopicServices;
  readonly #runtime: Runtime;
  readonly #topic: Topic;
  readonly #handler: (value: unknown, context: StoredEventContext) => unknown;
  readonly #options: ReplayOptions;
  readonly #drainTimeoutMs: number;
  readonly #inbox: string;
  readonly #gate = new Gate(1, Infinity);
  readonly #onEnd: () => void;
  readonly #running = new Set<StoredEvent>();
  readonly #prefix: number;
  #resolveCaughtUp: () => void = () => undefined;
  /** What was stored at the beginning and is not handled yet. */
  #left = Infinity;
  #from: From;
  #expected = 1;
  #pull: StandingPull | undefined;
  #address: ConsumerAddress | undefined;
  #pulls = 0;
  #timer: NodeJS.Timeout | undefined;
  #recovering = false;
  #ended: Promise<void> | undefined;
  #received = 0;

  constructor(
    services: TopicServices,
    topic: Topic,
    handler: (value: unknown, context: StoredEventContext) => unknown,
    options: ReplayOptions,
    onEnd: () => void,
  ) {
    checkFrom(options.from);
    this.#services = services;
    this.#runtime = services.runtime;
    this.#topic = topic;
    this.#handler = handler;
    this.#options = options;
    this.#drainTimeoutMs = toTimerMs(options.drainTimeout ?? "30s");
    this.#from = options.from;
    this.#inbox = services.nextInbox();
    this.#onEnd = onEnd;
    this.#prefix = this.#runtime.subjects.event("").length;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.caughtUp = promise;
    this.#resolveCaughtUp = resolve;
  }

  get received(): number {
    return this.#received;
  }

  get lost(): number {
    return 0;
  }

  async open(): Promise<void> {
    await this.#services.atFirst(this.#topic, () => this.#begin());
    this.#timer = setInterval(() => this.#pull?.check(), 1_000);
  }

  restored(): void {
    this.#pull?.restart();
  }

  unsubscribe(): Promise<void> {
    return (this.#ended ??= this.#end());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.unsubscribe();
  }

  /** Has the broker begin where this replay is. */
  async #begin(): Promise<void> {
    const { store } = this.#services;
    await store.open(this.#topic);
    const { where = {} } = this.#options;
    const made = await store.replay(this.#topic, `replay-${newId()}`, this.#from, where);
    if (this.#ended) {
      await store.endReplay(made); // meanwhile
      return;
    }
    this.#from = made.from;
    if (this.#left === Infinity) this.#left = made.pending;
    if (made.pending === 0) this.#left = 0;
    if (this.#left === 0) this.#resolveCaughtUp();
    const current = this.#pulls++;
    this.#expected = 1;
    this.#address = made;
    this.#pull = new StandingPull(this.#runtime.link, `${this.#inbox}.${current}`, made, WINDOW, {
      take: (delivery) => this.#take(delivery, current),
      failed: (why) => this.#again(why),
    });
  }

  #take(delivery: StoredDelivery, pull: number): void {
    if (this.#ended || pull !== this.#pulls - 1) return;
    if (delivery.consumerSequence !== this.#expected) {
      this.#again("a delivery is missing");
      return;
    }
    this.#expected++;
    this.#from = { sequence: delivery.sequence + 1 };
    const subject = delivery.subject.slice(this.#prefix);
    const last = subject.slice(subject.lastIndexOf(".p") + 2);
    const several = (this.#topic.durable?.partitions ?? 1) > 1;
    const place = { subject, partition: several ? Number(last) : 0 };
    const { log } = this.#runtime;
    try {
      const envelope = readStored(delivery);
      this.#gate.admit(
        new StoredEvent(envelope, delivery, place, log, (event) => this.#start(event)),
      );
    } catch (error) {
      noteBadMessage(this.#runtime, error, delivery.subject);
      this.#handled(delivery.pending);
    }
  }

  #start(event: StoredEvent): void {
    if (this.#ended) {
      this.#gate.release();
      return;
    }
    try {
      const value = eventValue(this.#topic, event.envelope);
      this.#received++;
      const result = runInScope(event, this.#handler, value, event);
      if (!isThenable(result)) this.#done(event);
      else {
        this.#running.add(event);
        result.then(
          () => this.#done(event),
          (error: unknown) => this.#failed(event, error),
        );
      }
    } catch (error) {
      this.#failed(event, error);
    }
  }

  /** Nobody redelivers to a replay: it goes on. */
  #failed(event: StoredEvent, error: unknown): void {
    const topic = this.#topic.name;
    const { metrics, log } = this.#runtime;
    metrics.handlerErrors.with({ topic }).value++;
    log.warn(
      { err: toMeshError(error), topic, sequence: event.sequence },
      "replay's handler failed",
    );
    this.#done(event);
  }

  #done(event: StoredEvent): void {
    this.#running.delete(event);
    this.#handled(event.pending);
    this.#gate.release();
  }

  #handled(pending: number): void {
    this.#pull?.release();
    if (this.#left <= 0) return;
    this.#left = pending === 0 ? 0 : this.#left - 1;
    if (this.#left === 0) this.#resolveCaughtUp();
  }

  #again(why: string): void {
    if (this.#ended || this.#recovering) return;
    this.#recovering = true;
    void this.#restart(why);
  }

  async #restart(why: string): Promise<void> {
    const { log } = this.#runtime;
    const about = { topic: this.#topic.name, why };
    this.#pulls++; // what still comes to the old one does not count
    await this.#pull?.stop();
    try {
      await this.#services.afterFailure(
        this.#topic,
        () => this.#begin(),
        () => this.#ended !== undefined,
      );
      log.debug(about, "replay goes on where it was");
    } catch (error) {
      if (this.#ended || isMeshError(error, "CANCELED")) return;
      log.error({ err: error, ...about }, "a replay gets no events any more");
    } finally {
      this.#recovering = false;
    }
  }

  async #end(): Promise<void> {
    clearInterval(this.#timer);
    await this.#pull?.stop();
    if (this.#address && this.#runtime.link.connected) {
      await this.#services.store.endReplay(this.#address).catch(() => undefined);
    }
    let timer: NodeJS.Timeout | undefined;
    const gaveUp = new Promise<void>((resolve) => {
      timer = setTimeout(() => {
        const reason = new MeshError("CANCELED", "The subscription has ended.");
        for (const event of this.#running) event.cancel(reason);
        resolve();
      }, this.#drainTimeoutMs);
    });
    await Promise.race([this.#gate.idle(), gaveUp]);
    clearTimeout(timer);
    this.#onEnd();
  }
}
