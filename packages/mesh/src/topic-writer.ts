import { MeshError, toMeshError, type Topic } from "@plexus/core";
import { nowMs } from "./clock.ts";
import type { Outgoing } from "./nats/jetstream.ts";
import { newId } from "./runtime.ts";
import { isPassing, unlessCut, untilConnected } from "./surely.ts";
import type { TopicServices } from "./topic-services.ts";

/** One event that waits to be stored. */
interface Entry extends Outgoing {
  readonly deadlineMs: number;
  resolve(): void;
  reject(error: MeshError): void;
  settled: boolean;
  /** Why it could not be stored so far. */
  failure: MeshError | undefined;
  /** A write of it is under way. */
  writing: boolean;
  /** An earlier one has no known outcome: it may be stored. */
  doubtful: boolean;
}

const HEADER_BYTES = 512; // more than what is added to an event's bytes
const MAX_BATCH = 500; // of the 1,000 that the broker allows
const MAX_BATCH_BYTES = 1024 * 1024;
const MAX_QUEUED_BYTES = 64 * 1024 * 1024;
const MAX_NUMBERED = 65_536; // subjects; beyond, numbering starts again
const SWEEP_MS = 50;
const FIRST_PAUSE_MS = 50;
const MAX_PAUSE_MS = 1_000;

/**
 * Stores what this process publishes on one durable topic. One write is under way at a time; what is published meanwhile is
 * the next one, as a batch that the broker stores as a whole or not at all. So whatever has to be repeated, events are stored
 * in the order in which they were published.
 */
export class TopicWriter {
  readonly #services: TopicServices;
  readonly #topic: Topic;
  readonly #numbers = new Map<string, number>();
  #queue: Entry[] = [];
  #bytes = 0;
  /** Everything that is not settled, in the order of publication. */
  readonly #unsettled = new Set<Entry>();
  #writing: Promise<void> | undefined;
  #sweeping: NodeJS.Timeout | undefined;
  #closed = false;

  /** @param topic of several contracts of one name, the one that the stream is made for */
  constructor(services: TopicServices, topic: Topic) {
    this.#services = services;
    this.#topic = topic;
  }

  /** Throws `MESSAGE_TOO_LARGE`, `OVERLOADED`, or `NOT_CONNECTED` when it is closed. */
  demandRoom(data: Uint8Array): void {
    if (this.#closed) throw closed();
    const { name } = this.#topic;
    const { maxPayload } = this.#services.runtime.link;
    if (data.length + HEADER_BYTES > maxPayload) {
      throw new MeshError(
        "MESSAGE_TOO_LARGE",
        `Topic ${name}: ${data.length} bytes do not fit the broker's limit of ${maxPayload}. Send a reference, or raise max_payload.`,
      );
    }
    if (this.#bytes + data.length <= MAX_QUEUED_BYTES) return;
    throw new MeshError(
      "OVERLOADED",
      `Topic ${name}: ${this.#bytes} bytes wait to be stored. Await each publish, so that it can slow you down.`,
    );
  }

  /** The number of the next event on a subject: tells subscribers that do not read the store what they have missed. */
  nextNumber(subject: string): number {
    return (this.#numbers.get(subject) ?? 0) + 1;
  }

  /** Resolves when it is stored. */
  add(subject: string, data: Uint8Array, id: string, deadlineMs: number): Promise<void> {
    if (this.#numbers.size > MAX_NUMBERED) this.#numbers.clear();
    this.#numbers.set(subject, this.nextNumber(subject));
    return new Promise((resolve, reject) => {
      const headers = { "Nats-Msg-Id": id };
      const state = { settled: false, failure: undefined, writing: false, doubtful: false };
      const entry: Entry = { subject, data, headers, deadlineMs, resolve, reject, ...state };
      this.#queue.push(entry);
      this.#unsettled.add(entry);
      this.#bytes += data.length;
      this.#sweeping ??= setInterval(() => this.#sweep(), SWEEP_MS).unref();
      this.#writing ??= this.#write();
    });
  }

  /** Resolves when nothing waits to be stored any more. */
  async settled(): Promise<void> {
    // Each writes all that is there.
    while (this.#writing) await this.#writing;
  }

  close(): void {
    this.#closed = true;
    for (const entry of this.#unsettled) this.#settle(entry, closed());
  }

  async #write(): Promise<void> {
    await Promise.resolve(); // so that what is published in one go becomes one batch
    while (this.#queue.length > 0) {
      // One after the other: that is what keeps the order.
      await this.#persist(this.#nextBatch());
    }
    this.#writing = undefined;
  }

  #nextBatch(): Entry[] {
    let bytes = 0;
    let count = 0;
    for (const { data } of this.#queue) {
      bytes += data.length;
      if (count > 0 && (count >= MAX_BATCH || bytes > MAX_BATCH_BYTES)) break;
      count++;
    }
    return this.#queue.splice(0, count);
  }

  /** Returns when each of these events is stored, refused, or out of time. */
  async #persist(batch: readonly Entry[]): Promise<void> {
    let singly = false;
    for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 2, MAX_PAUSE_MS)) {
      const left = batch.filter((entry) => !entry.settled);
      if (left.length === 0) return;
      try {
        await this.#open();
      } catch (error) {
        if (!isPassing(error)) for (const entry of left) this.#settle(entry, toMeshError(error));
        else await this.#failed(left, error, pause);
        continue;
      }
      for (const entry of left) entry.writing = true;
      try {
        if (singly || left.length === 1) await this.#storeSingly(left);
        else await this.#storeTogether(left);
      } catch (error) {
        // A batch is refused as a whole, most often because some of it is stored already: then one after the other.
        if (!isPassing(error)) singly = true;
        else await this.#failed(left, error, pause);
      }
    }
  }

  /** Without a connection, asking would only wait for a timeout. */
  async #open(): Promise<void> {
    const { runtime, store } = this.#services;
    if (runtime.link.connected) await unlessCut(runtime, store.open(this.#topic));
    else throw new MeshError("NOT_CONNECTED", "there is no broker.");
  }

  async #storeTogether(entries: readonly Entry[]): Promise<void> {
    await this.#services.js.publishBatch(newId(), entries);
    for (const entry of entries) this.#settle(entry);
  }

  /** Throws what may pass; the rest is refused for good. */
  async #storeSingly(entries: readonly Entry[]): Promise<void> {
    for (const entry of entries) {
      if (entry.settled) continue;
      const { subject, data, headers } = entry;
      try {
        await this.#services.js.publish(subject, data, { headers });
        this.#settle(entry);
      } catch (error) {
        if (isPassing(error)) throw error;
        this.#settle(entry, toMeshError(error));
      }
    }
  }

  /** Notes why it failed, and waits until it may be worth another attempt. */
  async #failed(entries: readonly Entry[], error: MeshError, pause: number): Promise<void> {
    for (const entry of entries) {
      entry.failure = error;
      entry.writing = false;
      entry.doubtful ||= error.code === "TIMEOUT";
    }
    // With a connection and still nobody to take it, the broker may have lost the stream.
    if (this.#services.runtime.link.connected && error.code === "NOT_CONNECTED") {
      this.#services.store.forget(this.#topic.name);
    }
    await untilConnected(this.#services.runtime, pause);
  }

  #sweep(): void {
    const now = nowMs();
    for (const entry of this.#unsettled) {
      if (entry.deadlineMs <= now) this.#settle(entry, this.#outOfTime(entry));
    }
    if (this.#unsettled.size > 0) return;
    clearInterval(this.#sweeping);
    this.#sweeping = undefined;
  }

  #outOfTime({ failure, writing, doubtful }: Entry): MeshError {
    const what = `Topic ${this.#topic.name}: not confirmed in time`;
    const options = failure === undefined ? {} : { cause: failure };
    if (writing || doubtful) {
      return new MeshError("TIMEOUT", `${what}, it may or may not be stored.`, options);
    }
    if (failure === undefined) {
      return new MeshError("TIMEOUT", `${what}, it waited for those before it and is not stored.`);
    }
    return new MeshError(failure.code, `${what}: ${failure.message}`, { cause: failure });
  }

  #settle(entry: Entry, error?: MeshError): void {
    if (entry.settled) return;
    entry.settled = true;
    this.#unsettled.delete(entry);
    this.#bytes -= entry.data.length;
    if (error === undefined) {
      entry.resolve();
    } else entry.reject(error);
  }
}

function closed(): MeshError {
  return new MeshError("NOT_CONNECTED", "This connection to the mesh is closed.");
}
