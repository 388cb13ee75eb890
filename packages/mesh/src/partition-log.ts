import { setTimeout as sleep } from "node:timers/promises";
import { MeshError, isMeshError, type EnvelopeFields } from "@plexus/core";
import {
  FENCE,
  commandFields,
  fenceFields,
  readFence,
  type CommandRecord,
  type FenceRecord,
} from "./entity-record.ts";
import type { EntityServices } from "./entity-services.ts";
import type { Logger } from "./log.ts";
import { isUndecided } from "./nats/jetstream-error.ts";
import type { StoredMessage } from "./nats/stored-message.ts";
import { newId } from "./runtime.ts";
import { isPassing, remade, untilConnected } from "./surely.ts";
import { envelopeBytes } from "./task-message.ts";

/** Which partition a log is of, and who writes it. */
export interface LogOwner {
  readonly entity: string;
  readonly partition: number;
  readonly epoch: number;
  readonly instance: string;
  /** Whether this process may still write for the partition, by its own clock. */
  owned(): boolean;
}

/**
 * How many records may follow a fence whose cursor is behind. A new owner meets the durable commands among them once more,
 * and knows that they are recorded as each key remembers more of its last commands than this.
 */
export const MAX_SINCE_FENCE = 256;
const PAUSE_MS = 50;
const MAX_PAUSE_MS = 1_000;
const OPEN_PAUSE_MS = 100;
const LAG_MS = 10; // before a replica that is behind is asked again
const UNDECIDED_MS = 1;
/** Tells a caller that nothing has run here, and that somebody else owns the partition, or soon will. */
const MOVED = "moved";

/**
 * The journal of one partition, as its owner writes it: one record after the other, each on the condition that the last fence
 * is the writer's own. That costs the broker one look at one subject, however long the journal is. A write of
 * unknown fate is followed by a new fence: behind it, it is stored or never will be.
 */
export class PartitionLog {
  readonly #services: EntityServices;
  readonly #owner: LogOwner;
  readonly #fenceSubject: string;
  /** Sequence of the own fence, and what it says. */
  #fence = 0;
  #said: FenceRecord = NOTHING;
  /** What this process has written last. */
  #newest = { subject: "", sequence: 0 };
  #cursor = 0;
  #next: Pick<FenceRecord, "next" | "tries"> = NOTHING;
  #sinceFence = 0;
  #writing: Promise<unknown> = Promise.resolve();

  constructor(services: EntityServices, owner: LogOwner) {
    this.#services = services;
    this.#owner = owner;
    this.#fenceSubject = this.subject(FENCE);
  }

  /** Sequence of the last durable command that needs not be executed any more. */
  get cursor(): number {
    return this.#cursor;
  }

  /** Sequence of the own fence: nobody else's records stand behind it. */
  get fence(): number {
    return this.#fence;
  }

  /** The largest message the broker takes, in bytes. */
  get maxPayload(): number {
    return this.#services.runtime.link.maxPayload;
  }

  /** A subject of the partition. */
  subject(place: string): string {
    const { entity, partition } = this.#owner;
    return this.#services.runtime.subjects.log(entity, partition, place);
  }

  /** Raises the fence. Rejects with {@link isMoved} if a newer owner has done so. */
  async open(): Promise<void> {
    const { store, js } = this.#services;
    for (;;) {
      // Again only if somebody else wrote meanwhile.
      const before = await this.surely(() => js.last(store.journal, this.#fenceSubject));
      const { epoch, ...found } = this.#read(before);
      if (epoch > this.#owner.epoch) throw moved(this.#owner);
      this.#fence = before?.sequence ?? 0;
      this.#cursor = found.cursor;
      this.#next = found;
      try {
        await this.#raise();
        return;
      } catch (error) {
        if (!isMoved(error) || !this.#owner.owned()) throw error;
      }
    }
  }

  /**
   * Appends the record of a command and resolves with its sequence. Rejects with {@link isMoved} when this process is not
   * the owner any more: what it wrote last may be recorded. With anything else nothing is.
   * @param token the key's, for the subject
   */
  append(
    token: string,
    record: Omit<CommandRecord, "epoch">,
    trace: string | undefined,
  ): Promise<number> {
    const { epoch, instance } = this.#owner;
    return this.#inTurn(async () => {
      if (this.#sinceFence >= MAX_SINCE_FENCE && this.#isBehind) await this.#raise();
      const bytes = envelopeBytes(commandFields(instance, trace, { ...record, epoch }));
      const sequence = await this.#store(token, bytes);
      this.#sinceFence++;
      if (record.durable !== undefined) this.#cursor = record.durable;
      return sequence;
    });
  }

  /**
   * Appends whatever bytes on a subject of the partition and resolves with their sequence. Rejects as {@link append} does.
   * @param place what follows the partition in the subject
   */
  write(place: string, bytes: Uint8Array): Promise<number> {
    return this.#inTurn(async () => {
      const sequence = await this.#store(place, bytes);
      this.#sinceFence++;
      return sequence;
    });
  }

  /** A durable command turned out to be recorded already, or to be none. */
  pass(durable: number): void {
    this.#cursor = durable;
    this.#sinceFence++;
  }

  /**
   * A durable command is about to be executed as the first one of this owner.
   * @returns how many owners have begun with it before, and never got past it
   */
  async meet(durable: number): Promise<number> {
    const before = this.#next.next === durable ? this.#next.tries : 0;
    this.#next = { next: durable, tries: before + 1 };
    await this.#inTurn(() => this.#raise());
    return before;
  }

  /**
   * Lets the fence say how far the durable commands are.
   * @param leaving so that the next owner begins as if nobody had ever failed
   * @returns up to where they need not be kept
   */
  async settle(leaving = false): Promise<number> {
    await this.#inTurn(async () => {
      if (leaving) this.#next = NOTHING;
      if (this.#isBehind || (leaving && this.#said.tries > 0)) await this.#raise();
    });
    return this.#said.cursor;
  }

  /** Resolves when everything that is being written is stored, or has failed. */
  async settled(): Promise<void> {
    await this.#writing;
  }

  /** The last record on a subject of the partition: as it is, not as a replica or former leader believes. */
  async last(place: string): Promise<StoredMessage | undefined> {
    return (await this.lastOf([place]))[0];
  }

  /** The last records on some subjects of the partition, all at one moment, in the same order: all that was written is there. */
  async lastOf(places: readonly string[]): Promise<(StoredMessage | undefined)[]> {
    const { js, store } = this.#services;
    const subjects = places.map((place) => this.subject(place));
    for (;;) {
      this.demand();
      const newest = this.#newest;
      const asked = [...new Set([...subjects, newest.subject])];
      // Again only if who answers is behind what was written last.
      const found = await this.surely(() => js.lastOf(store.journal, asked));
      const of = (wanted: string): StoredMessage | undefined =>
        found.find(({ subject }) => subject === wanted);
      if ((of(newest.subject)?.sequence ?? -1) >= newest.sequence) return subjects.map(of);
      await sleep(LAG_MS);
      const kept = await this.surely(() => js.last(store.journal, newest.subject));
      const isGone = (kept?.sequence ?? -1) < newest.sequence; // somebody has deleted it
      if (isGone && this.#newest === newest) this.#markFence();
    }
  }

  /** Asks the broker until it answers, or until this process is not the owner any more: then it rejects as {@link append} does. */
  async surely<T>(request: () => Promise<T>): Promise<T> {
    try {
      return await this.#services.surely(request, () => !this.#owner.owned());
    } catch (error) {
      if (isPassing(error)) this.demand();
      throw error;
    }
  }

  /** Throws {@link moved} if this process is not the owner any more. */
  demand(): void {
    if (!this.#owner.owned()) throw moved(this.#owner);
  }

  get #isBehind(): boolean {
    return this.#cursor > this.#said.cursor;
  }

  #inTurn<T>(write: () => Promise<T>): Promise<T> {
    const written = this.#writing.then(write, write);
    this.#writing = written.catch(() => undefined);
    return written;
  }

  /** What a fence says. One that cannot be read says nothing: then keys tell what they remember. */
  #read(fence: StoredMessage | undefined): FenceRecord {
    if (fence === undefined) return NOTHING;
    try {
      return readFence(fence.data);
    } catch (error) {
      const { entity, partition } = this.#owner;
      this.#services.runtime.log.error({ err: error, entity, partition }, "unreadable fence");
      return NOTHING;
    }
  }

  async #store(place: string, bytes: Uint8Array): Promise<number> {
    for (;;) {
      try {
        return await this.#publish(this.subject(place), bytes);
      } catch (error) {
        if (isMeshError(error, "CONFLICT")) throw moved(this.#owner);
        if (!isPassing(error)) throw error;
      }
      await this.#raise();
      const last = await this.last(place);
      if (last && equal(last.data, bytes)) return last.sequence;
    }
  }

  /** Writes a fence behind the last one, which must be one's own or the one that was found. */
  async #raise(): Promise<void> {
    const { js, store, runtime } = this.#services;
    const { epoch, instance } = this.#owner;
    const { next, tries } = this.#next;
    const record: FenceRecord = { epoch, cursor: this.#cursor, next, tries };
    const fields: EnvelopeFields = fenceFields(instance, newId(), record);
    const bytes = envelopeBytes(fields);
    for (let pause = PAUSE_MS; ; pause = Math.min(pause * 2, MAX_PAUSE_MS)) {
      try {
        this.#fence = await this.#publish(this.#fenceSubject, bytes);
        break;
      } catch (error) {
        if (isMeshError(error, "CONFLICT")) {
          // Perhaps by an earlier attempt, whose confirmation was lost.
          const last = await this.surely(() => js.last(store.journal, this.#fenceSubject));
          if (last === undefined || !equal(last.data, bytes)) throw moved(this.#owner);
          this.#fence = last.sequence;
          this.#markFence();
          break;
        }
        if (!isPassing(error)) throw error;
        await untilConnected(runtime, pause);
        if (error.code === "NOT_CONNECTED" && runtime.link.connected) {
          await remade(() => store.reopen());
        }
      }
    }
    this.#said = record;
    this.#sinceFence = 0;
  }

  #markFence(): void {
    this.#newest = { subject: this.#fenceSubject, sequence: this.#fence };
  }

  async #publish(subject: string, bytes: Uint8Array): Promise<number> {
    for (;;) {
      this.demand();
      try {
        const expect = { sequence: this.#fence, subject: this.#fenceSubject };
        // Again only while the broker has not decided.
        const sequence = await this.#services.js.publish(subject, bytes, { expect });
        this.#newest = { subject, sequence };
        return sequence;
      } catch (error) {
        if (!isUndecided(error)) throw error;
        await sleep(UNDECIDED_MS);
      }
    }
  }
}

const NOTHING: FenceRecord = { epoch: 0, cursor: 0, next: 0, tries: 0 };

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

/** Opens a partition, again after whatever failure, as long as that is wanted. */
export async function openSurely(
  { entity, partition }: LogOwner,
  wanted: () => boolean,
  log: Logger,
  open: () => Promise<void>,
): Promise<void> {
  while (wanted()) {
    try {
      await open();
      return;
    } catch (error) {
      if (!isMoved(error)) log.error({ err: error, entity, partition }, "not opened");
      await sleep(OPEN_PAUSE_MS);
    }
  }
}

/** Says that a partition is somebody else's by now. */
export function moved({ entity, partition }: Pick<LogOwner, "entity" | "partition">): MeshError {
  return new MeshError("FENCED", `Partition ${partition} of ${entity} has another owner.`, {
    retryable: true,
    details: MOVED,
  });
}

/** True for what {@link moved} makes, also after it has travelled. */
export function isMoved(error: unknown): error is MeshError {
  return isMeshError(error, "FENCED") && error.details === MOVED;
}
