import type { Delivered } from "./nats/feed.ts";
import type { Link } from "./nats/link.ts";

export const ACK = Buffer.from("+ACK");

const HOLD_MS = 20;

/**
 * Acknowledges what is done, and the newest of it a moment later. A queue that runs empty again and again costs the broker
 * more than its messages do: it removes the emptied file and makes another, each time. While work goes on, something is
 * always left in the newest file this way.
 */
export class LateAck {
  readonly #link: Link;
  #held: Delivered | undefined;
  #fresh = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(link: Link) {
    this.#link = link;
  }

  /** How many are not acknowledged yet. */
  get held(): number {
    return this.#held === undefined ? 0 : 1;
  }

  /** Acknowledges `done`, or something older in its place. */
  acknowledge(done: Delivered): void {
    const held = this.#held;
    const newest = held === undefined || done.sequence > held.sequence ? done : held;
    const other = newest === done ? held : done;
    if (other) this.#link.publish(other.ack, ACK);
    this.#held = newest;
    this.#fresh = true;
    this.#timer ??= setTimeout(() => this.#due(), HOLD_MS);
  }

  /** Acknowledges what is held. */
  flush(): void {
    const held = this.#held;
    this.#held = undefined;
    if (held) this.#link.publish(held.ack, ACK);
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.flush();
  }

  #due(): void {
    this.#timer = undefined;
    if (this.#held === undefined) return;
    if (this.#fresh) this.#timer = setTimeout(() => this.#due(), HOLD_MS);
    else this.flush();
    this.#fresh = false;
  }
}
