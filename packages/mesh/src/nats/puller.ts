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

const POLL_MS = 30_000;
const POLL = Buffer.from(JSON.stringify({ batch: 1, expires: POLL_MS * 1e6 }));
const WAIT_MS = 500; // a request for many messages stays open for that long
const MANY = 8;
const HOLD_MS = 1_000; // before a consumer that cannot serve is asked again
const LOOK_AGAIN_MS = 50; // at consumers that had nothing when the slots ran out
const NO_ANSWER_MS = 200; // the broker does not answer at all where a tenant has all it may have
const ALARM_MS = 2_000; // an answer that is so late does not come any more
const NAK = Buffer.from("-NAK");

interface FeedEvents {
  take(delivered: Delivered): void;
  answered(): void;
  lost(): void;
}

/** One consumer and what was asked of it. */
class Feed {
  readonly consumer: string;
  readonly weight: number;
  readonly #link: Link;
  readonly #next: string;
  readonly #prefix: string;
  readonly #on: FeedEvents;
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
  /** It may have work: unknown, or it had some the last time. */
  warm = true;
  /** Messages that may still come for the requests under way. */
  asked = 0;
  /** For the smooth weighted round robin. */
  credit = 0;

  constructor(link: Link, prefix: string, { stream, consumer, weight }: Source, on: FeedEvents) {
    this.#link = link;
    this.#next = `$JS.API.CONSUMER.MSG.NEXT.${stream}.${consumer}`;
    this.#prefix = prefix;
    this.consumer = consumer;
    this.weight = weight;
    this.#on = on;
    this.#requests = link.subscribe(`${prefix}.r`, (data, subject, ack, headers) => {
      if (this.#deliver(data, subject, ack, headers)) {
        this.asked = Math.max(0, this.asked - 1);
        this.#fruitful = true;
      } else this.#requestEnded(headers);
      if (this.asked <= this.#refillAt) on.answered();
    });
  }

  /** True if there may be work and too little of it has been asked for. */
  get hungry(): boolean {
    return this.warm && this.asked <= this.#refillAt;
  }

  /**
   * Asks for up to `batch` messages: many with patience, so that they arrive without being asked for one by one; few
   * only if they are there now, so that no slot is kept for what does not come.
   */
  ask(batch: number): void {
    const many = batch >= MANY;
    this.asked += batch;
    this.#refillAt = many ? this.asked >> 1 : 0;
    this.#askedMs = nowMs();
    const request = many
      ? `{"batch":${batch},"expires":${WAIT_MS * 1e6}}`
      : `{"batch":${batch},"no_wait":true}`;
    this.#link.publish(this.#next, Buffer.from(request), `${this.#prefix}.r`);
    if (!many) this.#giveUpSoon();
  }

  #giveUpSoon(): void {
    clearTimeout(this.#impatience);
    this.#impatience = setTimeout(() => {
      if (this.asked === 0) return;
      this.forget();
      this.warm = false;
      this.#on.answered();
    }, NO_ANSWER_MS).unref();
  }

  /** Has the broker send the next message that comes, one. */
  poll(): void {
    const now = nowMs();
    if (now < this.#holdUntilMs || (this.#poll && now < this.#pollEndsMs)) return;
    this.withdraw();
    const reply = `${this.#prefix}.p${this.#polls++}`;
    this.#pollEndsMs = now + POLL_MS + ALARM_MS;
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
    this.#link.publish(this.#next, POLL, reply);
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

/**
 * Fetches work for free slots, never more. While there is work it asks each consumer for its share of them
 * by weight; a consumer that has nothing is polled for one message, and when every slot is taken the polls
 * are withdrawn. What nevertheless crosses with the last free slot goes back to the queue at once.
 */
export class Puller {
  readonly #link: Link;
  readonly #prefix: string;
  readonly #feeds: Feed[] = [];
  readonly #on: FeedEvents;
  readonly #slots: number;
  readonly #timer: NodeJS.Timeout;
  #used = 0;
  #added = 0;
  #lookAgain: NodeJS.Timeout | undefined;
  #scheduled = false;
  #stopped = false;

  /**
   * @param prefix of the reply subjects, within the client's inbox
   * @param lost is called, again and again, while a consumer cannot serve or is gone
   */
  constructor(
    link: Link,
    prefix: string,
    slots: number,
    take: (delivered: Delivered) => void,
    lost: () => void,
  ) {
    this.#link = link;
    this.#prefix = prefix;
    this.#slots = slots;
    this.#on = {
      take: (delivered: Delivered): void => {
        if (this.#stopped || this.#used >= slots) {
          link.publish(delivered.ack, NAK);
          return;
        }
        this.#used++;
        take(delivered);
      },
      answered: (): void => this.#schedule(),
      lost,
    };
    this.#timer = setInterval(() => {
      const now = nowMs();
      for (const feed of this.#feeds) feed.check(now);
      this.#schedule();
    }, ALARM_MS / 2);
    this.#timer.unref();
  }

  /** Pulls from one more consumer. */
  add(source: Source): void {
    const prefix = `${this.#prefix}.${this.#added++}`;
    this.#feeds.push(new Feed(this.#link, prefix, source, this.#on));
    this.#schedule();
  }

  /** Pulls no more from a consumer. */
  remove(consumer: string): void {
    const index = this.#feeds.findIndex((feed) => feed.consumer === consumer);
    const [feed] = index < 0 ? [] : this.#feeds.splice(index, 1);
    void feed?.stop();
  }

  /** Slots in use. */
  get used(): number {
    return this.#used;
  }

  /** A slot is free again. */
  release(): void {
    this.#used--;
    this.#schedule();
  }

  /** After a reconnection: whatever was under way has no answer. */
  restart(): void {
    for (const feed of this.#feeds) {
      feed.forget();
      feed.warm = true;
      feed.withdraw();
    }
    this.#schedule();
  }

  /** Fetches nothing more; resolves when everything that was on its way has been given back. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#timer);
    clearTimeout(this.#lookAgain);
    await Promise.all(this.#feeds.map((feed) => feed.stop()));
  }

  /** Once a turn of the event loop: what a turn sets free is asked for at once. */
  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      if (!this.#stopped && this.#link.connected) this.#pump();
    });
  }

  #pump(): void {
    let free = this.#slots - this.#used;
    for (const feed of this.#feeds) free -= feed.asked;
    while (free > 0) {
      const batch = this.#ask(free);
      if (batch === 0) break;
      free -= batch;
    }
    if (free > 0) {
      for (const feed of this.#feeds) if (feed.asked === 0) feed.poll();
      return;
    }
    for (const feed of this.#feeds) feed.withdraw();
    this.#lookAgain ??= setTimeout(() => {
      this.#lookAgain = undefined;
      for (const feed of this.#feeds) feed.warm = true;
      this.#schedule();
    }, LOOK_AGAIN_MS);
  }

  /** Gives one of the consumers that may have work its share of the free slots; 0: there is none. */
  #ask(free: number): number {
    let total = 0;
    let chosen: Feed | undefined;
    for (const feed of this.#feeds) {
      if (!feed.hungry) continue;
      total += feed.weight;
      feed.credit += feed.weight;
      if (chosen === undefined || feed.credit > chosen.credit) chosen = feed;
    }
    if (chosen === undefined) return 0;
    chosen.credit -= total;
    const share = Math.max(1, Math.floor((free * chosen.weight) / total));
    const batch = share >= 2 * MANY ? share >> 1 : share; // the other half is for whatever comes to the others
    chosen.ask(batch);
    return batch;
  }
}
