import { FrameWriter, MeshError, type EnvelopeFields } from "@plexus/core";
import type { Link } from "./nats/link.ts";

// Calls: small enough that both sides work at the same time. Events flow one way: larger frames spare the broker.
const MAX_CALLS_IN_FRAME = 16;
const MAX_EVENTS_IN_FRAME = 128;
const MAX_FRAME_BYTES = 64 * 1024;
const MAX_NUMBERED = 65_536; // subjects whose events are numbered; beyond, numbering starts again
const MAX_SPARE_WRITERS = 64;
const PING_AFTER_BYTES = 1024 * 1024; // ask the broker how far it is: early, so that nobody has to wait for the answer
const WAIT_AFTER_BYTES = 8 * 1024 * 1024;
const MAX_UNFLUSHED_BYTES = 64 * 1024 * 1024;

/** What the outbox tells its owner about frames. */
export interface OutboxEvents {
  /** The reply subject for the next frame of calls, and what becomes of that frame. */
  sent(subject: string, envelopes: number, bytes: Uint8Array): void;
  dropped(subject: string, envelopes: number, reply: string | undefined): void;
  /** The client does not take it. */
  refused(subject: string, error: unknown): void;
}

/** One subject's frame in the making. */
interface Slot {
  readonly subject: string;
  readonly writer: FrameWriter;
  reply: string | undefined;
}

/**
 * Collects what one turn of the event loop sends to the same subject into one NATS message. Nothing waits for a frame
 * to fill: whatever the turn produced leaves when it ends. Where the turn before had one thing to send, the first of this
 * one is taken for the only one, too, and does not even wait for that.
 */
export class Outbox {
  readonly #link: Link;
  readonly #events: OutboxEvents;
  /** The frames of this turn, in the order in which they were begun. */
  #slots = new Map<string, Slot>();
  readonly #spare: FrameWriter[] = [];
  readonly #numbers = new Map<string, number>();
  #scheduled = false;
  /** Envelopes of this turn. */
  #added = 0;
  /** The last turn that had anything to send had one envelope. */
  #lonely = true;
  #unflushed = 0;
  #flushing: Promise<void> | undefined;
  readonly #flush = (): void => this.flushTurn();
  readonly #endTurn = (): void => {
    this.#scheduled = false;
    this.#lonely = this.#added === 1;
    this.#added = 0;
    this.flushTurn();
  };

  constructor(link: Link, events: OutboxEvents) {
    this.#link = link;
    this.#events = events;
  }

  /**
   * Adds an envelope to the subject's frame. Throws `MESSAGE_TOO_LARGE` before anything is sent.
   * @param reply makes the reply subject of the whole frame, when the first envelope that wants an answer goes into it
   * @param numbered sets the envelope's `seq` to its number within this subject, from 1
   * @returns the reply subject of the frame the envelope went into
   */
  add(
    subject: string,
    fields: EnvelopeFields,
    reply?: () => string,
    numbered = false,
  ): string | undefined {
    const slot = this.#slots.get(subject) ?? this.#begin(subject);
    const { writer } = slot;
    const number = numbered ? (this.#numbers.get(subject) ?? 0) + 1 : 0;
    if (numbered) fields.seq = number;
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
    this.#added++;
    if (numbered) this.#numbers.set(subject, number);
    slot.reply ??= reply?.(); // not of the first alone: a control message that wants no answer may be before it
    const frameReply = slot.reply;
    const limit = numbered ? MAX_EVENTS_IN_FRAME : MAX_CALLS_IN_FRAME;
    if (writer.count >= limit || writer.length >= MAX_FRAME_BYTES) this.#send(slot);
    return frameReply;
  }

  /** Adds an envelope that is encoded already, and known to fit the broker's limit. */
  addEncoded(subject: string, envelope: Uint8Array): void {
    const slot = this.#slots.get(subject) ?? this.#begin(subject);
    const { writer } = slot;
    if (writer.count > 0 && writer.length + envelope.length > this.#link.maxPayload) {
      this.#send(slot);
    }
    writer.append(envelope);
    if (writer.count >= MAX_CALLS_IN_FRAME || writer.length >= MAX_FRAME_BYTES) this.#send(slot);
  }

  /** Sends every frame of this turn now. */
  flushTurn(): void {
    const slots = this.#slots;
    this.#slots = new Map();
    for (const slot of slots.values()) {
      if (slot.writer.count > 0) this.#send(slot);
      if (this.#spare.length < MAX_SPARE_WRITERS) this.#spare.push(slot.writer);
    }
    if (this.#numbers.size > MAX_NUMBERED) this.#numbers.clear();
  }

  /** Undefined while there is room; else a promise to wait for before sending more. Throws `OVERLOADED` at the bound. */
  pressure(): Promise<void> | undefined {
    if (this.#unflushed < WAIT_AFTER_BYTES) return undefined;
    if (this.#unflushed > MAX_UNFLUSHED_BYTES) {
      throw new MeshError(
        "OVERLOADED",
        `${this.#unflushed} bytes wait for the broker. Await each publish, so that it can slow you down.`,
      );
    }
    this.flushTurn();
    return (this.#flushing ??= this.#confirm());
  }

  /** Learns from the broker what it has taken. */
  async #confirm(): Promise<void> {
    const bytes = this.#unflushed;
    try {
      await this.#link.flush();
    } catch {
      // The connection broke: what was on its way is gone and counted where it was dropped.
    }
    this.#unflushed = Math.max(0, this.#unflushed - bytes);
    this.#flushing = undefined;
  }

  #begin(subject: string): Slot {
    const slot: Slot = {
      subject,
      writer: this.#spare.pop() ?? new FrameWriter(),
      reply: undefined,
    };
    this.#slots.set(subject, slot);
    if (!this.#scheduled) {
      this.#scheduled = true;
      setImmediate(this.#endTurn);
      if (this.#lonely) queueMicrotask(this.#flush);
    }
    return slot;
  }

  #send(slot: Slot): void {
    const envelopes = slot.writer.count;
    const bytes = slot.writer.take();
    const { reply } = slot;
    slot.reply = undefined;
    let sent: boolean;
    try {
      sent = this.#link.publish(slot.subject, bytes, reply);
    } catch (error) {
      this.#events.refused(slot.subject, error); // thrown from the end of a turn, it would end the process
      return;
    }
    if (sent) {
      this.#unflushed += bytes.length;
      if (this.#unflushed >= PING_AFTER_BYTES) this.#flushing ??= this.#confirm();
      this.#events.sent(slot.subject, envelopes, bytes);
    } else this.#events.dropped(slot.subject, envelopes, reply);
  }
}
