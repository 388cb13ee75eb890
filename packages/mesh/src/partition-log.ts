import { MeshError, isMeshError, type EnvelopeFields } from "@plexus/core";
import {
  FENCE,
  commandFields,
  fenceFields,
  readFence,
  readOwnerState,
  type CommandRecord,
} from "./entity-record.ts";
import type { EntityServices } from "./entity-services.ts";
import type { StoredMessage } from "./nats/jetstream.ts";
import { newId } from "./runtime.ts";
import { isPassing, untilConnected } from "./surely.ts";
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

const PAUSE_MS = 50;
const MAX_PAUSE_MS = 1_000;
/** Tells a caller that nothing has run here, and that somebody else owns the partition, or soon will. */
const MOVED = "moved";

/**
 * The journal of one partition, as its owner writes it: one record after the other, each on the condition that the record
 * before is still the partition's last one. An owner begins with a record of its epoch, so whatever an earlier owner
 * still sends, for any key of the partition, is refused by the broker.
 */
export class PartitionLog {
  readonly #services: EntityServices;
  readonly #owner: LogOwner;
  readonly #all: string;
  #end = 0;
  #cursor = 0;
  #writing: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(services: EntityServices, owner: LogOwner) {
    this.#services = services;
    this.#owner = owner;
    this.#all = services.runtime.subjects.log(owner.entity, owner.partition, "*");
  }

  /** Writes nothing more: what was read from it is out of date. */
  close(): void {
    this.#closed = true;
  }

  /** Sequence of the last durable command that needs not be executed any more. */
  get cursor(): number {
    return this.#cursor;
  }

  /**
   * Raises the fence. Rejects with `FENCED` if a newer owner has done so.
   * @returns how many owners before this one have met the same durable command, and never got past it
   */
  async open(): Promise<number> {
    const { store, runtime } = this.#services;
    const { entity, partition, epoch, instance } = this.#owner;
    const fence = runtime.subjects.log(entity, partition, FENCE);
    const read = (stream: string, subject: string): Promise<StoredMessage | undefined> =>
      this.surely(() => this.#services.js.last(stream, subject));
    for (;;) {
      // oxlint-disable-next-line no-await-in-loop -- again only if somebody else wrote meanwhile
      const [before, last] = await Promise.all([
        read(store.journal, fence),
        read(store.journal, this.#all),
      ]);
      const previous = before && readFence(before.data);
      if (previous && previous.epoch > epoch) throw moved(this.#owner);
      this.#end = last?.sequence ?? 0;
      this.#cursor = last === undefined ? 0 : readOwnerState(last.data).cursor;
      // oxlint-disable-next-line no-await-in-loop
      const next = await this.#next();
      const same = previous !== undefined && next !== 0 && previous.next === next;
      const tries = same && previous.epoch !== epoch ? previous.tries + 1 : 0;
      const record = { epoch, cursor: this.#cursor, next, tries };
      try {
        // oxlint-disable-next-line no-await-in-loop
        await this.#write(fence, fenceFields(instance, newId(), record));
        return tries;
      } catch (error) {
        if (!isMoved(error) || !this.#owned) throw error;
      }
    }
  }

  /**
   * Appends the record of a command and resolves with its sequence. Rejects with {@link isMoved} when this process is not
   * the owner any more: what it wrote last may be recorded. With anything else nothing is.
   * @param token the key's, for the subject
   * @param command sequence of a durable command; undefined for a direct one
   */
  append(
    token: string,
    record: Omit<CommandRecord, "epoch" | "cursor">,
    trace: string | undefined,
    command?: number,
  ): Promise<number> {
    const { entity, partition, epoch, instance } = this.#owner;
    const append = async (): Promise<number> => {
      const cursor = command ?? this.#cursor;
      const fields = commandFields(instance, trace, { ...record, epoch, cursor });
      const subject = this.#services.runtime.subjects.log(entity, partition, token);
      const sequence = await this.#write(subject, fields);
      this.#cursor = cursor;
      return sequence;
    };
    const written = this.#writing.then(append, append);
    this.#writing = written.catch(() => undefined);
    return written;
  }

  /** Asks the broker until it answers, or until this process is not the owner any more: then it rejects as {@link append} does. */
  async surely<T>(request: () => Promise<T>): Promise<T> {
    try {
      return await this.#services.surely(request, () => !this.#owned);
    } catch (error) {
      if (isPassing(error) && !this.#owned) throw moved(this.#owner);
      throw error;
    }
  }

  /** A durable command turned out to be recorded already. The next record says so; if there is none, it turns out again. */
  pass(command: number): void {
    this.#cursor = command;
  }

  /** The first durable command that has not been executed. */
  async #next(): Promise<number> {
    const { store, js, runtime } = this.#services;
    const subject = runtime.subjects.command(this.#owner.entity, this.#owner.partition);
    const next = await this.surely(() => js.next(store.commands, subject, this.#cursor + 1));
    return next?.sequence ?? 0;
  }

  async #write(subject: string, fields: EnvelopeFields): Promise<number> {
    const { js, runtime } = this.#services;
    const bytes = envelopeBytes(fields);
    let doubtful = false;
    for (let pause = PAUSE_MS; ; pause = Math.min(pause * 2, MAX_PAUSE_MS)) {
      if (!this.#owned) throw moved(this.#owner);
      try {
        const expect = { sequence: this.#end, subject: this.#all };
        // oxlint-disable-next-line no-await-in-loop -- again only after a failure
        this.#end = await js.publish(subject, bytes, { expect });
        return this.#end;
      } catch (error) {
        if (isMeshError(error, "CONFLICT")) {
          // oxlint-disable-next-line no-await-in-loop
          if (doubtful && (await this.#isLast(bytes))) return this.#end;
          throw moved(this.#owner);
        }
        if (!isPassing(error)) throw error;
        doubtful ||= error.code === "TIMEOUT";
        // oxlint-disable-next-line no-await-in-loop
        await untilConnected(runtime, pause);
        if (error.code === "NOT_CONNECTED" && runtime.link.connected) {
          // oxlint-disable-next-line no-await-in-loop
          await this.#services.reopen().catch(() => undefined);
        }
      }
    }
  }

  /** True if the partition's last record is this one: an earlier attempt had been stored, and its confirmation was lost. */
  async #isLast(bytes: Uint8Array): Promise<boolean> {
    const { js, store } = this.#services;
    const last = await this.surely(() => js.last(store.journal, this.#all));
    if (last === undefined || !Buffer.from(last.data).equals(bytes)) return false;
    this.#end = last.sequence;
    return true;
  }

  get #owned(): boolean {
    return !this.#closed && this.#owner.owned();
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
