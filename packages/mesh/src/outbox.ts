import { FrameWriter, MeshError, type EnvelopeFields } from "@plexus/core";
import type { Link } from "./nats/link.ts";

const MAX_FRAME_ENVELOPES = 64;
const MAX_FRAME_BYTES = 64 * 1024;
const MAX_SLOTS = 4_096; // idle subjects kept with their buffer and their count
const FLUSH_AFTER_BYTES = 2 * 1024 * 1024;
const MAX_UNFLUSHED_BYTES = 64 * 1024 * 1024;

/** What the outbox tells its owner about frames. */
export interface OutboxEvents {
  /** The reply subject for the next frame of calls, and what becomes of that frame. */
  sent(subject: string, envelopes: number): void;
  dropped(subject: string, envelopes: number, reply: string | undefined): void;
}

/** One subject's frame in the making. */
interface Slot {
  readonly subject: string;
  readonly writer: FrameWriter;
  reply: string | undefined;
  /** Envelopes ever written; numbers the events of this publisher and subject. */
  total: number;
  queued: boolean;
}

/**
 * Collects what one turn of the event loop sends to the same subject into one NATS message. Nothing waits for a frame
 * to fill: whatever the turn produced leaves when it ends.
 */
export class Outbox {
  readonly #link: Link;
  readonly #events: OutboxEvents;
  readonly #slots = new Map<string, Slot>();
  #queue: Slot[] = [];
  #scheduled = false;
  #unflushed = 0;
  #flushing: Promise<void> | undefined;
  readonly #flush = (): void => this.flushTurn();

  constructor(link: Link, events: OutboxEvents) {
    this.#link = link;
    this.#events = events;
  }

  /**
   * Adds an envelope to the subject's frame. Throws `MESSAGE_TOO_LARGE` before anything is sent.
   * @param reply reply subject of the whole frame, chosen when the frame begins
   * @param numbered sets the envelope's `seq` to its number within this subject, from 1
   * @returns the reply subject of the frame the envelope went into
   */
  add(
    subject: string,
    fields: EnvelopeFields,
    reply?: () => string,
    numbered = false,
  ): string | undefined {
    const slot = this.#slots.get(subject) ?? this.#open(subject);
    const { writer } = slot;
    if (numbered) fields.seq = slot.total + 1;
    const length = writer.length;
    writer.write(fields);
    if (writer.length > this.#link.maxPayload) {
      writer.truncate(length, writer.count - 1);
      if (writer.count > 0) {
        this.#send(slot);
        return this.add(subject, fields, reply, numbered);
      }
      throw new MeshError(
        "MESSAGE_TOO_LARGE",
        `${fields.name}: a payload of ${fields.payload.length} bytes does not fit the broker's limit of ${this.#link.maxPayload}. Send a reference, or raise max_payload.`,
      );
    }
    slot.total++;
    if (writer.count === 1) slot.reply = reply?.();
    if (!slot.queued) {
      slot.queued = true;
      this.#queue.push(slot);
      if (!this.#scheduled) {
        this.#scheduled = true;
        setImmediate(this.#flush);
      }
    }
    const { reply: frameReply } = slot;
    if (writer.count >= MAX_FRAME_ENVELOPES || writer.length >= MAX_FRAME_BYTES) this.#send(slot);
    return frameReply;
  }

  /** Sends every frame of this turn now. */
  flushTurn(): void {
    this.#scheduled = false;
    const queue = this.#queue;
    this.#queue = [];
    for (const slot of queue) {
      slot.queued = false;
      if (slot.writer.count > 0) this.#send(slot);
    }
    if (this.#slots.size > MAX_SLOTS) this.#slots.clear();
  }

  /** Undefined while there is room; else a promise to wait for before sending more. Throws `OVERLOADED` at the bound. */
  pressure(): Promise<void> | undefined {
    if (this.#unflushed < FLUSH_AFTER_BYTES) return undefined;
    if (this.#unflushed > MAX_UNFLUSHED_BYTES) {
      throw new MeshError(
        "OVERLOADED",
        `${this.#unflushed} bytes wait for the broker. Await each publish, so that it can slow you down.`,
      );
    }
    return (this.#flushing ??= this.#drainOut());
  }

  async #drainOut(): Promise<void> {
    const bytes = this.#unflushed;
    this.flushTurn();
    try {
      await this.#link.flush();
    } catch {
      // The connection broke: what was on its way is gone and counted where it was dropped.
    }
    this.#unflushed = Math.max(0, this.#unflushed - bytes);
    this.#flushing = undefined;
  }

  #open(subject: string): Slot {
    const slot: Slot = {
      subject,
      writer: new FrameWriter(),
      reply: undefined,
      total: 0,
      queued: false,
    };
    this.#slots.set(subject, slot);
    return slot;
  }

  #send(slot: Slot): void {
    const envelopes = slot.writer.count;
    const bytes = slot.writer.take();
    const { reply } = slot;
    slot.reply = undefined;
    if (this.#link.publish(slot.subject, bytes, reply)) {
      this.#unflushed += bytes.length;
      this.#events.sent(slot.subject, envelopes);
    } else this.#events.dropped(slot.subject, envelopes, reply);
  }
}
