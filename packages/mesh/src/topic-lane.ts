import { toMeshError, type MeshError } from "@plexus/core";
import type { StandingPull, StoredDelivery } from "./nats/standing-pull.ts";
import type { StoredEvent } from "./stored-event.ts";

/** What a lane needs of the subscription whose partition it is. */
export interface LaneOwner {
  /** Makes the event of a delivery. Throws `BAD_MESSAGE`. */
  event(delivery: StoredDelivery, partition: number): StoredEvent;
  /** It is this event's turn; {@link Lane.done} when it is over. */
  admit(event: StoredEvent, lane: Lane): void;
  /** It cannot be read. */
  unreadable(delivery: StoredDelivery, lane: Lane, error: MeshError): void;
  /** Tells the broker something about a delivery. False: not sent, there is no connection. */
  answer(ack: string, answer: Uint8Array): boolean;
}

export const ACK = Buffer.from("+ACK");
export const NAK = Buffer.from("-NAK");
const WORKING = Buffer.from("+WPI");

/** One partition of a named subscription in one process. The broker gives out one event of it at a time. */
export class Lane {
  readonly partition: number;
  readonly #owner: LaneOwner;
  pull: StandingPull | undefined;
  /** The event that has its turn, and any that came although it has not ended. */
  readonly #events: StoredEvent[] = [];
  #lastDone = 0;
  /** Up to here all is done, whatever a broker that comes back knows of it: it may have lost the last acknowledgements. */
  #knownDone = 0;
  /** An acknowledgement that could not be sent. */
  #unsent: string | undefined;
  #stopped = false;

  constructor(owner: LaneOwner, partition: number) {
    this.#owner = owner;
    this.partition = partition;
  }

  /** An event has been delivered. */
  take(delivery: StoredDelivery): void {
    const { ack, sequence, deliveries } = delivery;
    if (this.#stopped) {
      this.#owner.answer(ack, NAK);
      this.pull?.release();
      return;
    }
    const running = this.#events.find((event) => event.sequence === sequence);
    if (sequence > this.#knownDone) this.#knownDone = 0; // what an operator has delivered again from now on counts
    if (running || sequence <= this.#knownDone || (deliveries > 1 && sequence === this.#lastDone)) {
      // This process was cut off, or silent for too long: it has the event already, or is done with it.
      if (running) running.adopt(delivery);
      else this.#owner.answer(ack, ACK);
      this.pull?.release();
      return;
    }
    let event: StoredEvent;
    try {
      event = this.#owner.event(delivery, this.partition);
    } catch (error) {
      this.#owner.unreadable(delivery, this, toMeshError(error));
      return;
    }
    this.#events.push(event);
    // One before it is still being handled only if the broker has taken that away: still one after the other.
    if (this.#events.length === 1) this.#owner.admit(event, this);
  }

  /** Tells the broker what became of an event, and goes on. */
  done(event: StoredEvent, answer: Uint8Array): void {
    const at = this.#events.indexOf(event);
    if (at < 0) return; // given back
    this.#events.splice(at, 1);
    this.answer(event, answer);
    this.pull?.release();
    const next = this.#events[0];
    if (next) this.#owner.admit(next, this);
  }

  /** Tells the broker what became of a delivery, as soon as there is a connection. */
  answer({ ack, sequence }: Pick<StoredDelivery, "ack" | "sequence">, answer: Uint8Array): void {
    const sent = this.#owner.answer(ack, answer);
    if (answer !== ACK) return;
    this.#lastDone = sequence;
    this.#unsent = sent ? undefined : ack;
  }

  /** Tells the broker that what is here is being worked on. */
  beat(): void {
    for (const { ack } of this.#events) this.#owner.answer(ack, WORKING);
    this.pull?.check();
  }

  /** The broker may have lost acknowledgements: what is done here stays done. */
  remember(): void {
    this.#knownDone = this.#lastDone;
  }

  /** The connection is back. */
  restored(): void {
    if (this.#unsent !== undefined && this.#owner.answer(this.#unsent, ACK))
      this.#unsent = undefined;
    this.remember();
    this.pull?.restart();
  }

  /** Nothing is being handled. */
  get idle(): boolean {
    return this.#events.length === 0;
  }

  /** Takes nothing more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.pull?.stop();
  }

  /** Gives back what it has, whatever the handlers still do. */
  handBack(reason: MeshError): void {
    for (const event of this.#events.splice(0)) {
      this.#owner.answer(event.ack, NAK);
      event.cancel(reason);
    }
  }
}
