import { nowMs } from "../clock.ts";
import type { Headers, Link, LinkSubscription } from "./link.ts";

/** A stored event as a consumer delivers it. */
export interface StoredDelivery {
  readonly subject: string;
  readonly data: Uint8Array;
  readonly headers: Headers | undefined;
  /** Where acknowledgements go. */
  readonly ack: string;
  /** How many times it has been delivered, this time included. */
  readonly deliveries: number;
  /** Its number in the stream. */
  readonly sequence: number;
  /** The delivery's number in the consumer. */
  readonly consumerSequence: number;
  /** By the broker's clock: milliseconds since the epoch. */
  readonly storedAt: number;
  /** Events behind this one that the consumer has not delivered yet. */
  readonly pending: number;
}

const EXPIRES_MS = 10_000;
const ALARM_MS = EXPIRES_MS + 2_000; // an answer that is so late does not come any more

/**
 * Keeps a request for messages open at one consumer, so that each comes as soon as it may: `window` of them at most are
 * asked for or in hand at a time.
 */
export class StandingPull {
  readonly #link: Link;
  readonly #next: string;
  readonly #inbox: string;
  readonly #window: number;
  readonly #on: { take(delivery: StoredDelivery): void; failed(why: string): void };
  readonly #subscription: LinkSubscription;
  #asked = 0;
  #held = 0;
  #heardMs = nowMs();
  #failed = false;
  #stopped = false;

  /**
   * @param inbox subject for the answers, of this pull alone
   * @param on `failed` is told once that the consumer does not answer (any more); then {@link resume} is waited for
   */
  constructor(
    link: Link,
    inbox: string,
    { stream, consumer }: { readonly stream: string; readonly consumer: string },
    window: number,
    on: { take(delivery: StoredDelivery): void; failed(why: string): void },
  ) {
    this.#link = link;
    this.#inbox = inbox;
    this.#window = window;
    this.#next = `$JS.API.CONSUMER.MSG.NEXT.${stream}.${consumer}`;
    this.#on = on;
    this.#subscription = link.subscribe(inbox, (data, subject, ack, headers) => {
      this.#heardMs = nowMs();
      if (ack === undefined) this.#status(headers);
      else {
        this.#asked = Math.max(0, this.#asked - 1);
        this.#held++;
        on.take(delivered(subject, data, headers, ack));
        this.#ask();
      }
    });
    this.#ask();
  }

  /** A message that was taken is done with. */
  release(): void {
    this.#held = Math.max(0, this.#held - 1);
    this.#ask();
  }

  /** The consumer is there again. */
  resume(): void {
    if (this.#failed) this.restart();
  }

  /** After a reconnection: whatever was asked for has no answer. */
  restart(): void {
    this.#asked = 0;
    this.#failed = false;
    this.#ask();
  }

  /** To be called now and then: finds out that the broker has forgotten what was asked for. */
  check(): void {
    if (this.#asked > 0 && nowMs() - this.#heardMs > ALARM_MS) this.#fail("it is silent");
  }

  /** Asks for nothing more; resolves when everything that was on its way has been taken. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#subscription.drain();
  }

  #ask(): void {
    if (this.#stopped || this.#failed) return;
    const room = this.#window - this.#asked - this.#held;
    if (room < this.#window / 2) return;
    if (this.#asked === 0) this.#heardMs = nowMs();
    const request = Buffer.from(`{"batch":${room},"expires":${EXPIRES_MS * 1e6}}`);
    if (this.#link.publish(this.#next, request, this.#inbox)) this.#asked += room;
  }

  /** An answer without a message: the request has ended, or the consumer is gone. */
  #status(headers: Headers | undefined): void {
    const { code = 0, description = "" } = headers ?? {};
    if (code === 408 || code === 404) {
      this.#asked -= Number(headers?.get("Nats-Pending-Messages") || this.#asked);
      this.#asked = Math.max(0, this.#asked);
      this.#ask();
    } else this.#fail(`${code} ${description}`);
  }

  #fail(why: string): void {
    this.#asked = 0;
    if (this.#failed || this.#stopped) return;
    this.#failed = true;
    this.#on.failed(why);
  }
}

/** Reads `$JS.ACK.[<domain>.<account>.]<stream>.<consumer>.<deliveries>.<sequence>.<its own>.<ns>.<pending>`. */
function delivered(
  subject: string,
  data: Uint8Array,
  headers: Headers | undefined,
  ack: string,
): StoredDelivery {
  const parts = ack.split(".");
  const at = parts.length > 9 ? 6 : 4;
  return {
    subject,
    data,
    headers,
    ack,
    deliveries: Number(parts[at]),
    sequence: Number(parts[at + 1]),
    consumerSequence: Number(parts[at + 2]),
    storedAt: Number(parts[at + 3]) / 1e6,
    pending: Number(parts[at + 4]),
  };
}
