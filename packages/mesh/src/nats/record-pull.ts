import { nowMs } from "../clock.ts";
import type { Headers, Link } from "./link.ts";
import type { CursorAddress } from "./journal-store.ts";

/** A stored message as a cursor meets it. */
export interface PulledRecord {
  readonly data: Uint8Array;
  /** Its number in the stream. */
  readonly sequence: number;
  /** The delivery's number in the consumer: without a gap, or something is missing. */
  readonly delivery: number;
  /** By the broker's clock: milliseconds since the epoch. */
  readonly storedAt: number;
}

const WINDOW = 8_192; // messages asked for or in hand
const MAX_HELD_BYTES = 16 * 1024 * 1024;
const REQUEST_BYTES = 8 * 1024 * 1024;
const EXPIRES_MS = 30_000;
const HEARTBEAT_MS = 2_000; // of the broker, when there is nothing to send
const ENDED = /max ?bytes|batch completed/i; // descriptions of requests that have had their bytes, or messages
const ALARM_MS = 3 * HEARTBEAT_MS; // whoever is silent for so long is not there any more

/** Reads a consumer that needs no acknowledgements as fast as the broker sends: many records for one request. */
export class RecordPull {
  readonly #link: Link;
  readonly #next: string;
  readonly #inbox: string;
  readonly #requestBytes: number;
  readonly #on: { take(record: PulledRecord): void; failed(why: string): void };
  readonly #unsubscribe: () => void;
  #asked = 0;
  #held = 0;
  #heldBytes = 0;
  #heardMs = nowMs();
  /** Something came since it was last looked after. */
  #fresh = false;
  /** Number of the last delivery that came. */
  #last = 0;
  #stopped = false;

  /**
   * @param inbox subject for the answers, of this pull alone
   * @param on `failed` is told once that the consumer does not answer (any more); then this pull is of no use
   */
  constructor(
    link: Link,
    inbox: string,
    { stream, consumer }: CursorAddress,
    on: { take(record: PulledRecord): void; failed(why: string): void },
  ) {
    this.#link = link;
    this.#inbox = inbox;
    this.#next = `$JS.API.CONSUMER.MSG.NEXT.${stream}.${consumer}`;
    this.#requestBytes = Math.max(REQUEST_BYTES, 2 * link.maxPayload); // a message that does not fit would never come
    this.#on = on;
    this.#unsubscribe = link.stream(inbox, (message) => {
      if (this.#stopped) return;
      const { data, reply: ack } = message;
      this.#fresh = true;
      if (!ack) return this.#status(message.headers);
      this.#asked = Math.max(0, this.#asked - 1);
      this.#held++;
      this.#heldBytes += data.length;
      const taken = record(data, ack);
      this.#last = taken.delivery;
      on.take(taken);
    });
    this.#ask();
  }

  /** A record that was taken is done with. */
  release(bytes: number): void {
    this.#held = Math.max(0, this.#held - 1); // it may be one of the pull before
    this.#heldBytes = Math.max(0, this.#heldBytes - bytes);
    this.#ask();
  }

  /** To be called now and then: finds out that the broker has forgotten what was asked for. */
  check(): void {
    if (this.#fresh || this.#asked === 0) {
      this.#fresh = false;
      this.#heardMs = nowMs();
    } else if (nowMs() - this.#heardMs > ALARM_MS) this.#fail("it is silent");
  }

  stop(): void {
    this.#stopped = true;
    this.#unsubscribe();
  }

  #ask(): void {
    const room = WINDOW - this.#asked - this.#held;
    if (room < WINDOW / 2 || this.#stopped || this.#heldBytes > MAX_HELD_BYTES) return;
    const text = `{"batch":${room},"max_bytes":${this.#requestBytes},"expires":${EXPIRES_MS * 1e6},"idle_heartbeat":${HEARTBEAT_MS * 1e6}}`;
    if (this.#link.publish(this.#next, Buffer.from(text), this.#inbox)) this.#asked += room;
  }

  /** An answer without a record: the request has ended, or the consumer is gone. */
  #status(headers: Headers | undefined): void {
    const { code = 0, description = "" } = headers ?? {};
    if (code === 100) {
      const delivered = Number(headers?.get("Nats-Last-Consumer"));
      return delivered > this.#last ? this.#fail("a record is missing") : undefined;
    }
    const full = code === 409 && ENDED.test(description);
    if (code !== 408 && code !== 404 && !full) return this.#fail(`${code} ${description}`);
    // What is left of the request does not come. One that has all it asked for names no number, or none.
    const left = headers?.get("Nats-Pending-Messages");
    this.#asked -= left ? Number(left) : full ? 0 : this.#asked;
    this.#asked = Math.max(0, this.#asked);
    this.#ask();
  }

  #fail(why: string): void {
    if (this.#stopped) return;
    this.stop();
    this.#on.failed(why);
  }
}

/** Reads `$JS.ACK.[<domain>.<account>.]<stream>.<consumer>.<deliveries>.<sequence>.<delivery>.<ns>.<pending>[.<random>]`. */
function record(data: Uint8Array, ack: string): PulledRecord {
  let at = SKIPPED;
  let tokens = 0;
  for (let i = at; i < ack.length; i++) if (ack.charCodeAt(i) === DOT) tokens++;
  // Behind "$JS.ACK." there are seven tokens, or two more in front of them and one behind.
  for (let skip = tokens > 6 ? 5 : 3; skip > 0; skip--) at = ack.indexOf(".", at) + 1;
  const sequence = ack.indexOf(".", at);
  const delivery = ack.indexOf(".", sequence + 1);
  const time = ack.indexOf(".", delivery + 1);
  return {
    data,
    sequence: Number(ack.slice(at, sequence)),
    delivery: Number(ack.slice(sequence + 1, delivery)),
    storedAt: Number(ack.slice(delivery + 1, time - 6)), // nanoseconds, without the last six digits
  };
}

const SKIPPED = "$JS.ACK.".length;
const DOT = 46;
