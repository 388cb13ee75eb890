import { MeshError, toMeshError, type Duration } from "@plexus/core";
import type { EventSource } from "./event-source.ts";
import type { Compactions } from "./journal-compactions.ts";
import type { JournalServices } from "./journal-services.ts";
import type { PulledRecord } from "./nats/record-pull.ts";
import {
  ProgressReport,
  SequenceWaiters,
  foldRecord,
  type Projection,
  type ProjectionProgress,
  type ResolvedProjection,
} from "./projection.ts";
import { StreamCursor, type CursorSource } from "./stream-cursor.ts";

type Tell = ((progress: ProjectionProgress) => void) | undefined;

/** A projection in the memory of this process: built from all events, whenever the process starts. */
export class MemoryProjection implements Projection<unknown> {
  readonly ended: Promise<void>;
  readonly #services: JournalServices;
  readonly #compactions: Compactions;
  readonly #source: EventSource;
  readonly #spec: ResolvedProjection;
  readonly #waiters: SequenceWaiters;
  readonly #ended = Promise.withResolvers<void>();
  #caughtUp = Promise.resolve();
  #state: unknown;
  #sequence = 0;
  #cursor: StreamCursor | undefined;
  #unwatch: (() => void) | undefined;
  #stopped: Promise<void> | undefined;

  constructor(
    services: JournalServices,
    compactions: Compactions,
    source: EventSource,
    spec: ResolvedProjection,
  ) {
    this.#services = services;
    this.#compactions = compactions;
    this.#source = source;
    this.#spec = spec;
    this.#waiters = new SequenceWaiters(spec.name);
    this.#state = spec.initial();
    this.ended = this.#ended.promise;
    this.ended.catch(() => undefined); // whoever asks is told
  }

  get state(): unknown {
    return this.#state;
  }

  get sequence(): number {
    return this.#sequence;
  }

  get caughtUp(): Promise<void> {
    return this.#caughtUp;
  }

  async open(onProgress: Tell): Promise<void> {
    // From now on it is told of each compaction before that takes anything.
    this.#unwatch = await this.#compactions.watch(this.#source, (gone) => {
      if (this.#cursor !== undefined && gone > this.#sequence + 1) this.#fail(this.#missing(gone));
    });
    try {
      await this.#build(onProgress);
    } catch (error) {
      await this.#end(toMeshError(error));
      throw error;
    }
  }

  async waitFor(
    sequence: number,
    options: { timeout?: Duration; signal?: AbortSignal } = {},
  ): Promise<unknown> {
    await this.#waiters.wait(sequence, options);
    return this.#state;
  }

  async rebuild({ onProgress }: { onProgress?: Tell } = {}): Promise<void> {
    const gone = await this.#compactions.gone(this.#source);
    if (gone > 1) throw this.#missing(gone);
    await this.#cursor?.end();
    this.#clear();
    await this.#build(onProgress);
    await this.#caughtUp;
  }

  stop(): Promise<void> {
    return (this.#stopped ??= this.#end(new MeshError("CANCELED", "The projection has ended.")));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #build(onProgress: Tell): Promise<void> {
    const { js } = this.#services;
    const { stream, subject } = this.#source;
    const last = await this.#services.surely(async () => {
      await this.#source.open();
      return js.last(stream, subject);
    });
    // Asked whenever the cursor begins, again after a broken connection, too: then it may not have been told.
    const source: CursorSource = {
      stream,
      subject,
      open: async () => {
        await this.#source.open();
        const gone = await this.#compactions.gone(this.#source);
        if (gone > this.#sequence + 1) throw this.#missing(gone);
      },
    };
    const report = new ProgressReport(last?.sequence ?? 0, onProgress);
    const count = (events: number): void => report.count(events);
    const cursor: StreamCursor = new StreamCursor(this.#services, source, 1, {
      take: (record) => {
        if (cursor === this.#cursor) this.#fold(record, count);
        cursor.release(record);
        report.at(record.sequence);
      },
      reborn: () => {
        if (cursor !== this.#cursor) return;
        this.#clear();
        this.#waiters.lost();
      },
      failed: (error) => this.#fail(error),
    });
    this.#cursor = cursor;
    this.#caughtUp = this.#waiters.reached(last?.sequence ?? 0);
    this.#caughtUp.catch(() => undefined);
    await cursor.open();
  }

  #clear(): void {
    this.#state = this.#spec.initial();
    this.#sequence = 0;
    this.#waiters.reach(0);
  }

  #missing(gone: number): MeshError {
    return this.#compactions.missing(this.#spec.name, gone);
  }

  #fold(record: PulledRecord, count: (events: number) => void): void {
    try {
      this.#state = foldRecord(this.#source, this.#spec, this.#state, record, count);
      this.#sequence = record.sequence;
      this.#waiters.reach(record.sequence);
    } catch (error) {
      this.#fail(toMeshError(error));
    }
  }

  #fail(error: MeshError): void {
    const { log } = this.#services.runtime;
    log.error({ err: error, projection: this.#spec.name }, "a projection cannot go on");
    this.#ended.reject(error);
    this.#stopped ??= this.#end(error);
  }

  async #end(reason: MeshError): Promise<void> {
    const cursor = this.#cursor;
    this.#cursor = undefined;
    this.#unwatch?.();
    this.#waiters.fail(reason);
    await cursor?.end();
    this.#ended.resolve();
  }
}
