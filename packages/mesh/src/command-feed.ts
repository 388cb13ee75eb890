import type { EntityServices } from "./entity-services.ts";
import type { LinkSubscription } from "./nats/link.ts";
import { isPassing } from "./surely.ts";

/** A durable command as it is stored. */
export interface StoredCommand {
  readonly sequence: number;
  readonly data: Uint8Array;
}

const BATCH = 128;
const MAX_BUFFERED = 1_024;
const MAX_BUFFERED_BYTES = 4 * 1024 * 1024;
/** For what the broker has not told: soon after a beginning, when a replica or route may be behind, and then now and then. */
const FIRST_LOOK_MS = 100;
const LOOK_MS = 5_000;
const RETRY_MS = 50;
const MAX_LAGS = 40; // then what was told of is not there: somebody has removed it

/**
 * The durable commands of one partition in their order, from a sequence on. The broker tells of each one that it stores and
 * names the one before it, so this knows when to read what it was not told of.
 */
export class CommandFeed {
  readonly #services: EntityServices;
  readonly #subject: string;
  readonly #subscription: LinkSubscription;
  #timer: NodeJS.Timeout | undefined;
  #buffer: StoredCommand[] = [];
  #bytes = 0;
  /** Sequence of the last one that is in the buffer, or was. */
  #head: number;
  #told = 0;
  #lags = 0;
  /** There may be some that the buffer lacks. */
  #behind = true;
  #wake: (() => void) | undefined;
  #closed = false;

  /** @param after sequence of the last command that is not wanted any more */
  constructor(services: EntityServices, entity: string, partition: number, after: number) {
    const { link, subjects } = services.runtime;
    this.#services = services;
    this.#subject = subjects.command(entity, partition);
    this.#head = after;
    this.#subscription = link.subscribe(
      subjects.commandStored(entity, partition),
      (data, _subject, _reply, headers) => {
        const sequence = Number(headers?.last("Nats-Sequence"));
        const before = Number(headers?.last("Nats-Last-Sequence"));
        if (sequence > this.#head) this.#arrived({ sequence, data }, before);
      },
    );
    this.#lookLater(FIRST_LOOK_MS);
  }

  /** Looks whether there is something that the broker has not told; after a reconnection, above all. */
  look(): void {
    this.#lookNow();
    this.#lookLater(FIRST_LOOK_MS);
  }

  /** The next one, as soon as there is one; undefined once the feed is closed. */
  async next(): Promise<StoredCommand | undefined> {
    while (!this.#closed) {
      const command = this.#buffer.shift();
      if (command) {
        this.#bytes -= command.data.length;
        return command;
      }
      await (this.#behind ? this.#read() : new Promise<void>((resolve) => (this.#wake = resolve)));
    }
    return undefined;
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#subscription.unsubscribe();
    this.#wake?.();
  }

  #lookNow(): void {
    this.#behind = true;
    this.#wake?.();
  }

  #lookLater(ms: number): void {
    clearTimeout(this.#timer);
    if (this.#closed) return;
    this.#timer = setTimeout(() => {
      this.#lookNow();
      this.#lookLater(Math.min(ms * 2, LOOK_MS));
    }, ms).unref();
  }

  #arrived(command: StoredCommand, before: number): void {
    this.#told = Math.max(this.#told, command.sequence);
    const full = this.#buffer.length >= MAX_BUFFERED || this.#bytes >= MAX_BUFFERED_BYTES;
    if (this.#behind || full || !(before <= this.#head)) {
      this.#behind = true; // read in order, this one included
    } else {
      this.#head = command.sequence;
      this.#bytes += command.data.length;
      this.#buffer.push(command);
    }
    this.#wake?.();
  }

  /** Fills the empty buffer. */
  async #read(): Promise<void> {
    const { js, store, runtime } = this.#services;
    this.#behind = false; // of what is stored from now on, the broker tells
    try {
      const read = await js.batch(store.commands, this.#subject, this.#head + 1, BATCH);
      const last = read.at(-1)?.sequence ?? 0;
      // What was told meanwhile begins at the same place; whichever reaches farther holds all of the other.
      if (last > this.#head) {
        this.#buffer = read;
        this.#bytes = read.reduce((sum, { data }) => sum + data.length, 0);
        this.#head = last;
      }
      if (read.length > 0) this.#behind = true; // there may be more
      if (this.#buffer.length > 0 || this.#told <= this.#head || ++this.#lags > MAX_LAGS) {
        if (this.#lags > MAX_LAGS) this.#told = this.#head;
        this.#lags = 0;
        return;
      }
      this.#behind = true; // a replica that answers may be behind the one that told
    } catch (error) {
      this.#behind = true;
      if (!isPassing(error)) runtime.log.error({ err: error }, "durable commands cannot be read");
    }
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}
