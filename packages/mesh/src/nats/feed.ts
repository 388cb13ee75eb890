import { nowMs } from "../clock.ts";
import type { Headers, Link, LinkSubscription } from "./link.ts";

/** A message of a work queue, delivered to this process alone until it is acknowledged or falls silent. */
export interface Delivered {
  readonly subject: string;
  readonly data: Uint8Array;
  readonly headers: Headers | undefined;
  /** Where acknowledgements go. */
  readonly ack: string;
  /** Its place in the stream. */
  readonly sequence: number;
  /** How many times it has been delivered, this time included. */
  readonly deliveries: number;
}

/** One consumer to pull from; of several with work, each gets a share of the slots by its weight. */
export interface Source {
  readonly stream: string;
  readonly consumer: string;
  readonly weight: number;
}

const WAIT_MS = 500; // a request for many messages stays open for that long
export const MANY = 8;
const HOLD_MS = 1_000; // before a consumer that cannot serve is asked again
const NO_ANSWER_MS = 200; // the broker does not answer at all where a tenant has all it may have
const CAUTION_MS = 5_000; // for so long after that,
const BRIEF_MS = 5; // slots are kept waiting for it no longer than this
export const ALARM_MS = 2_000; // an answer that is so late does not come any more

/** What a {@link Feed} tells. */
export interface FeedEvents {
  take(delivered: Delivered): void;
  answered(): void;
  lost(): void;
}

/** One consumer and what was asked of it. */
export class Feed {
  readonly consumer: string;
  readonly weight: number;
  readonly #link: Link;
  readonly #next: string;
  readonly #prefix: string;
  readonly #on: FeedEvents;
  readonly #pollMs: number;
  readonly #requests: LinkSubscription;
  #poll: LinkSubscription | undefined;
  #polls = 0;
  #pollEndsMs = 0;
  #askedMs = 0;
  #impatience: NodeJS.Timeout | undefined;
  #holdUntilMs = -Infinity;
  #refillAt = 0;
  /** Something came since the last request that ended. */
  #fruitful = false;
  /** It has left a request unanswered: until then requests have an end of their own. */
  #cautiousUntilMs = -Infinity;
  /** It may have work: unknown, or it had some the last time. */
  warm = true;
  /** It had some when it was last asked for more than the next message that comes. */
  rich = false;
  /** Messages that may still come for the requests under way. */
  asked = 0;
  /** For the smooth weighted round robin. */
  credit = 0;

  /** @param pollMs how long the broker may send something to this process, should it stand still */
  constructor(
    link: Link,
    prefix: string,
    { stream, consumer, weight }: Source,
    pollMs: number,
    on: FeedEvents,
  ) {
    this.#link = link;
    this.#next = `$JS.API.CONSUMER.MSG.NEXT.${stream}.${consumer}`;
    this.#prefix = prefix;
    this.consumer = consumer;
    this.weight = weight;
    this.#on = on;
    this.#pollMs = pollMs;
    this.#requests = link.subscribe(`${prefix}.r`, (data, subject, ack, headers) => {
      if (this.#deliver(data, subject, ack, headers)) {
        this.asked = Math.max(0, this.asked - 1);
        this.#fruitful = true;
        // In a cluster a request's end can overtake its messages, or the request was given up: what comes still tells of work.
        this.warm = true;
        this.rich = true;
      } else this.#requestEnded(headers);
      if (this.asked <= this.#refillAt) on.answered();
    });
  }

  /** True if there may be work and too little of it has been asked for. */
  get hungry(): boolean {
    return this.warm && this.asked <= this.#refillAt;
  }

  /**
   * Asks for up to `most` messages: many with patience, so that they arrive without being asked for one by one; few
   * only if they are there now, so that no slot is kept for what does not come. Returns how many slots that takes.
   */
  ask(most: number): number {
    this.#askedMs = nowMs();
    const cautious = this.#askedMs < this.#cautiousUntilMs;
    const batch = cautious ? Math.min(most, MANY) : most;
    const many = batch >= MANY && !cautious;
    this.asked += batch;
    this.#refillAt = many ? this.asked >> 1 : 0;
    const waitMs = cautious ? BRIEF_MS : WAIT_MS;
    const when = many || cautious ? `"expires":${waitMs * 1e6}` : `"no_wait":true`;
    this.#link.publish(this.#next, Buffer.from(`{"batch":${batch},${when}}`), `${this.#prefix}.r`);
    if (!many) this.#giveUpSoon();
    return batch;
  }

  #giveUpSoon(): void {
    clearTimeout(this.#impatience);
    this.#impatience = setTimeout(() => {
      if (this.asked === 0) return;
      this.forget();
      this.#cautiousUntilMs = nowMs() + CAUTION_MS;
      this.warm = false;
      this.rich = false;
      this.#on.answered();
    }, NO_ANSWER_MS).unref();
  }

  /** Has the broker send the next message that comes, one. */
  poll(): void {
    const now = nowMs();
    if (now < this.#holdUntilMs || (this.#poll && now < this.#pollEndsMs)) return;
    this.withdraw();
    const reply = `${this.#prefix}.p${this.#polls++}`;
    this.#pollEndsMs = now + this.#pollMs + ALARM_MS;
    const poll = this.#link.subscribe(reply, (data, subject, ack, headers) => {
      const withdrawn = this.#poll !== poll;
      if (!withdrawn) {
        poll.unsubscribe();
        this.#poll = undefined;
      }
      if (this.#deliver(data, subject, ack, headers)) this.warm = true;
      else if (!withdrawn) this.#look(headers);
      this.#on.answered();
    });
    this.#poll = poll;
    const request = `{"batch":1,"expires":${this.#pollMs * 1e6}}`;
    this.#link.publish(this.#next, Buffer.from(request), reply);
  }

  /**
   * Without interest in the answer, the broker drops the poll. A message that is on its way already still arrives: if it
   * did not, the broker would wait for a sign of life before it gave it to anybody else.
   */
  withdraw(): void {
    void this.#withdraw();
  }

  #withdraw(): Promise<void> | undefined {
    const poll = this.#poll;
    this.#poll = undefined;
    return poll?.drain();
  }

  /** Gives up on a request that has not been answered. */
  check(now: number): void {
    if (this.asked > 0 && now - this.#askedMs > ALARM_MS) this.forget();
  }

  /** Whatever was asked for does not come any more. */
  forget(): void {
    this.asked = 0;
    this.#refillAt = 0;
    clearTimeout(this.#impatience);
  }

  async stop(): Promise<void> {
    await Promise.all([this.#withdraw(), this.#requests.drain()]);
  }

  #requestEnded(headers: Headers | undefined): void {
    const left = Number(headers?.get("Nats-Pending-Messages") || this.asked); // a refusal names no number: all of them
    this.asked = Math.max(0, this.asked - left);
    if (this.asked > 0) return;
    this.#refillAt = 0;
    this.warm = this.#fruitful && headers?.code === 408; // it was not in vain, so there may be more
    this.rich = this.warm;
    this.#look(headers);
    this.#fruitful = false;
  }

  /** Anything but "nothing there" and "time is over" says that the consumer cannot serve, or is gone. */
  #look(headers: Headers | undefined): void {
    if (headers?.code === 404 || headers?.code === 408) return;
    this.#holdUntilMs = nowMs() + HOLD_MS;
    this.#on.lost();
  }

  #deliver(
    data: Uint8Array,
    subject: string,
    ack: string | undefined,
    headers: Headers | undefined,
  ): boolean {
    if (ack === undefined) return false; // a status: there is nothing (more), or the consumer is gone
    const [, , , , deliveries, sequence] = ack.split(".", 6); // $JS.ACK.<stream>.<consumer>.<deliveries>.<sequence>.…
    this.#on.take({
      subject,
      data,
      headers,
      ack,
      sequence: Number(sequence),
      deliveries: Number(deliveries),
    });
    return true;
  }
}
