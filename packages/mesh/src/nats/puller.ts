import { nowMs } from "../clock.ts";
import { ALARM_MS, Feed, MANY, type Delivered, type FeedEvents, type Source } from "./feed.ts";
import type { Link } from "./link.ts";

const LOOK_AGAIN_MS = 50; // at consumers that had nothing when the slots ran out
const SPARE_FROM = 8; // so many slots and more: one is kept free for whatever comes to a consumer that had nothing

/** What a {@link Puller} does with what it fetches. */
export interface PullerEvents {
  /** A slot is taken; whoever has the message releases it. */
  take(delivered: Delivered): void;
  /** Nobody here has a slot for it: it goes back to the queue. Resolves once it is on its way. */
  refuse(delivered: Delivered): Promise<void>;
  /** A consumer cannot serve or is gone; called again and again while that is so. */
  lost(): void;
  /** How many are done that the broker does not know of. They count as slots in use. */
  unacknowledged(): number;
  /** Tells the broker of them: there is use for their slots. */
  acknowledge(): void;
}

/**
 * Fetches work for free slots, never more. While there is work it asks each consumer for its share of them
 * by weight; a consumer that has nothing is polled for one message, and when every slot is taken the polls
 * are withdrawn. What nevertheless crosses with the last free slot goes back to the queue at once. Of many slots, those
 * that have much to do leave one to those that are polled: whoever has little to do then does not wait for a slot at all.
 */
export class Puller {
  readonly #link: Link;
  readonly #prefix: string;
  readonly #feeds: Feed[] = [];
  readonly #events: PullerEvents;
  readonly #on: FeedEvents;
  readonly #slots: number;
  readonly #pollMs: number;
  readonly #timer: NodeJS.Timeout;
  #used = 0;
  #added = 0;
  readonly #refusing = new Set<Promise<void>>();
  #lookAgain: NodeJS.Timeout | undefined;
  #scheduled = false;
  #stopped = false;

  /**
   * @param prefix of the reply subjects, within the client's inbox
   * @param pollMs how long a request for the next message that comes stays open, a whole number of ms
   */
  constructor(link: Link, prefix: string, slots: number, pollMs: number, events: PullerEvents) {
    this.#link = link;
    this.#prefix = prefix;
    this.#slots = slots;
    this.#pollMs = pollMs;
    this.#events = events;
    this.#on = {
      take: (delivered: Delivered): void => {
        if (this.#stopped || this.#used >= slots) this.#refuse(events.refuse(delivered));
        else {
          this.#used++;
          events.take(delivered);
        }
      },
      answered: (): void => this.#schedule(),
      lost: () => events.lost(),
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
    this.#feeds.push(new Feed(this.#link, prefix, source, this.#pollMs, this.#on));
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
    await Promise.all(this.#refusing);
  }

  #refuse(refused: Promise<void>): void {
    this.#refusing.add(refused);
    void refused.finally(() => this.#refusing.delete(refused));
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
    let free = this.#slots - this.#used - this.#events.unacknowledged();
    let spare = 0;
    for (const feed of this.#feeds) {
      free -= feed.asked;
      if (!feed.rich && this.#slots >= SPARE_FROM) spare = 1;
    }
    if (free <= spare) {
      free += this.#events.unacknowledged();
      this.#events.acknowledge();
    }
    while (free > spare) {
      const batch = this.#ask(free - spare);
      if (batch === 0) break;
      free -= batch;
    }
    if (free > 0) {
      for (const feed of this.#feeds) if (!feed.rich && feed.asked === 0) feed.poll();
      return;
    }
    for (const feed of this.#feeds) feed.withdraw();
    if (this.#used < this.#slots) return; // those that were asked will answer
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
    return chosen.ask(batch);
  }
}
