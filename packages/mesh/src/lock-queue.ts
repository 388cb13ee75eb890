import type { Bucket, Entry } from "./bucket.ts";
import { nowMs } from "./clock.ts";
import type { Logger } from "./log.ts";

/** Somebody who waits for a lock. */
export interface LockWaiter {
  /** The connection: its `mesh.client`. */
  readonly client: string;
  readonly intent: string;
  /** Since when, by its own clock: milliseconds since the epoch. */
  readonly since: number;
}

/** What stands in the bucket of those who wait. */
interface Ticket extends LockWaiter {
  readonly lock: string;
  /** Revision of its first write, which decides whose turn it is; absent in that one, which did not know it yet. */
  readonly place?: number;
}

const TICKET_S = 6; // after which one who has died waits no longer
const RENEW_MS = 2_000;
const MARGIN_MS = 1_000;

/** One place in the queue for a lock. Whoever waits keeps renewing a ticket; those in front of it are let go first. */
export class LockPlace {
  readonly #bucket: Bucket;
  readonly #log: Logger;
  readonly #key: string;
  readonly #ticket: Ticket;
  /** The places of those who wait for the same lock, and when they were last heard of. */
  readonly #others = new Map<string, { place: number; heardMs: number }>();
  #place = 0;
  #renewal: NodeJS.Timeout | undefined;
  #look: (() => void) | undefined;
  #unwatch: (() => void) | undefined;
  #left = false;

  constructor(bucket: Bucket, log: Logger, key: string, ticket: Ticket) {
    this.#bucket = bucket;
    this.#log = log;
    this.#key = key;
    this.#ticket = ticket;
  }

  /** Takes the last place. */
  async join(): Promise<void> {
    const unwatch = await this.#bucket.watch((entry) => this.#hear(entry));
    if (this.#left) return unwatch();
    this.#unwatch = unwatch;
    this.#place = await this.#bucket.put(this.#key, this.#ticket, { ttl: `${TICKET_S}s` });
    if (!this.#left) this.#renewLater();
    else await this.#remove(); // it was written after it had been removed
  }

  /** Resolves when nobody is in front any more, or when `signal` fires. */
  async first(signal: AbortSignal): Promise<void> {
    while (!signal.aborted && this.#waitMs() > 0) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#look = resolve;
      const timer = setTimeout(resolve, this.#waitMs());
      signal.addEventListener("abort", () => resolve(), { once: true });
      // Until nobody is in front.
      await promise;
      clearTimeout(timer);
    }
  }

  /** Leaves the queue. What cannot be removed expires. */
  async leave(): Promise<void> {
    this.#left = true;
    clearTimeout(this.#renewal);
    this.#unwatch?.();
    await this.#remove();
  }

  async #remove(): Promise<void> {
    const { lock } = this.#ticket;
    await this.#bucket
      .put(this.#key, undefined)
      .catch((err: unknown) => this.#log.debug({ err, lock }, "a place is left to expire"));
  }

  /** How long somebody in front, as far as is known, keeps his place without a word. */
  #waitMs(): number {
    const last = [...this.#others.values()]
      .filter(({ place }) => place < this.#place)
      .map(({ heardMs }) => heardMs + TICKET_S * 1_000 + MARGIN_MS - nowMs());
    return Math.max(0, ...last);
  }

  #hear({ key, value, revision }: Entry): void {
    const ticket = value as Ticket | undefined;
    if (key === this.#key || (ticket && ticket.lock !== this.#ticket.lock)) return;
    if (ticket === undefined) this.#others.delete(key);
    else this.#others.set(key, { place: ticket.place ?? revision, heardMs: nowMs() });
    this.#look?.();
  }

  #renewLater(): void {
    this.#renewal = setTimeout(() => {
      const ticket = { ...this.#ticket, place: this.#place };
      this.#bucket
        .put(this.#key, ticket, { ttl: `${TICKET_S}s` })
        .catch((error: unknown) => this.#log.debug({ err: error }, "a place was not renewed"))
        .finally(() => {
          if (!this.#left) this.#renewLater();
          else void this.#remove(); // it was written after it had been removed
        });
    }, RENEW_MS);
  }
}

/** Everybody who waits for a lock, by its name, in their order. */
export async function lockWaiters(bucket: Bucket): Promise<Map<string, LockWaiter[]>> {
  const keys = await bucket.keys();
  const entries = await Promise.all(keys.map((key) => bucket.get(key)));
  const tickets = entries
    .flatMap((entry) => (entry ? [{ ...(entry.value as Ticket), at: entry.revision }] : []))
    .toSorted((a, b) => (a.place ?? a.at) - (b.place ?? b.at));
  const waiters = new Map<string, LockWaiter[]>();
  for (const { lock, client, intent, since } of tickets) {
    waiters.set(lock, [...(waiters.get(lock) ?? []), { client, intent, since }]);
  }
  return waiters;
}
