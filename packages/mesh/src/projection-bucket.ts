import { MeshError, isMeshError, toMeshError, type Duration } from "@plexus/core";
import type { Entry } from "./bucket.ts";
import type { Election, Leadership } from "./election.ts";
import type { EventSource } from "./event-source.ts";
import type { Compactions, ProjectionRecord } from "./journal-compactions.ts";
import type { JournalServices } from "./journal-services.ts";
import type { Leases } from "./leases.ts";
import type { PulledRecord } from "./nats/record-pull.ts";
import {
  ProgressReport,
  SequenceWaiters,
  foldRecord,
  type Projection,
  type ProjectionProgress,
  type ResolvedProjection,
} from "./projection.ts";
import { StreamCursor } from "./stream-cursor.ts";

type Tell = ((progress: ProjectionProgress) => void) | undefined;

const TTL = "5s"; // for so long nobody goes on when the one who folded has died

/**
 * A projection that the broker keeps: its state and how far it is are one value, changed by compare-and-set. So an event is in the
 * state once, whatever dies or repeats; a process that was believed dead finds its write refused.
 */
export class BucketProjection implements Projection<unknown> {
  readonly caughtUp: Promise<void>;
  readonly ended: Promise<void>;
  readonly #services: JournalServices;
  readonly #leases: Leases;
  readonly #compactions: Compactions;
  readonly #source: EventSource;
  readonly #spec: ResolvedProjection;
  readonly #key: string;
  readonly #waiters: SequenceWaiters;
  readonly #caughtUp = Promise.withResolvers<void>();
  readonly #ended = Promise.withResolvers<void>();
  #report = new ProgressReport(0, undefined);
  /** What is stored, as far as this process knows. */
  #stored: ProjectionRecord;
  #revision = 0;
  #unwatch: (() => void) | undefined;
  #election: Election | undefined;
  /** Ends the folding that is under way; what it has folded is not written any more if somebody else has. */
  #interrupt: ((why: "overtaken" | "stopped") => void) | undefined;
  #stopped: Promise<void> | undefined;

  constructor(
    services: JournalServices,
    leases: Leases,
    compactions: Compactions,
    source: EventSource,
    spec: ResolvedProjection,
  ) {
    this.#services = services;
    this.#leases = leases;
    this.#compactions = compactions;
    this.#source = source;
    this.#spec = spec;
    this.#key = `p.${source.id}.${spec.name}`;
    this.#waiters = new SequenceWaiters(spec.name);
    const { version } = spec;
    this.#stored = { state: spec.initial(), sequence: 0, version, token: 0, builds: 0 };
    this.caughtUp = this.#caughtUp.promise;
    this.ended = this.#ended.promise;
    this.caughtUp.catch(() => undefined);
    this.ended.catch(() => undefined); // whoever asks is told
  }

  get state(): unknown {
    return this.#stored.state;
  }

  get sequence(): number {
    return this.#stored.sequence;
  }

  async open(onProgress: Tell): Promise<void> {
    const target = await this.#last();
    const there = await this.#services.surely(() => this.#compactions.bucket.get(this.#key));
    const { version } = (there?.value ?? {}) as Partial<ProjectionRecord>;
    if (version !== this.#spec.version) await this.#reset();
    this.#report = new ProgressReport(target, onProgress);
    this.#unwatch = await this.#services.surely(() =>
      this.#compactions.bucket.watch((entry) => this.#heard(entry), this.#key),
    );
    this.#waiters.reached(target).then(this.#caughtUp.resolve, this.#caughtUp.reject);
    this.#election = this.#leases.elect(this.#key, {
      ttl: TTL,
      onElected: (leadership) => this.#lead(leadership),
    });
  }

  async waitFor(
    sequence: number,
    options: { timeout?: Duration; signal?: AbortSignal } = {},
  ): Promise<unknown> {
    await this.#waiters.wait(sequence, options);
    return this.#stored.state;
  }

  async rebuild({ onProgress }: { onProgress?: Tell } = {}): Promise<void> {
    const target = await this.#last();
    this.#report = new ProgressReport(target, onProgress);
    await this.#reset(); // whoever folds is told, and begins there
    await this.#waiters.reached(target);
  }

  stop(): Promise<void> {
    return (this.#stopped ??= this.#end(new MeshError("CANCELED", "The projection has ended.")));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #last(): Promise<number> {
    const { js } = this.#services;
    const { stream, subject } = this.#source;
    const last = await this.#services.surely(async () => {
      await this.#source.open();
      return js.last(stream, subject);
    });
    return last?.sequence ?? 0;
  }

  #beginAnew(): Promise<void> {
    this.#waiters.lost();
    return this.#reset();
  }

  /** Has it built anew, from what a compaction has kept if there was one. Rejects with `COMPACTED` if that is of another version. */
  async #reset(): Promise<void> {
    const { name, version } = this.#spec;
    const { bucket } = this.#compactions;
    for (;;) {
      // Again only if somebody else wrote meanwhile.
      const base = await this.#services.surely(() => this.#compactions.base(this.#source.id, name));
      const kept = base?.version === version ? base : undefined;
      const there = await this.#services.surely(() => bucket.get(this.#key));
      const { token = 0, builds = 0 } = (there?.value ?? {}) as Partial<ProjectionRecord>;
      const record: ProjectionRecord = {
        state: kept?.state ?? this.#spec.initial(),
        sequence: kept?.sequence ?? 0,
        version,
        token,
        builds: builds + 1,
      };
      try {
        await this.#services.surely(() =>
          bucket.put(this.#key, record, { revision: there?.revision ?? 0 }),
        );
      } catch (error) {
        if (!isMeshError(error, "CONFLICT")) throw error;
        continue;
      }
      // A compaction that does not see this record has said before what it takes.
      const before = await this.#compactions.before(this.#source);
      if (record.sequence >= before - 1) {
        this.#waiters.reach(record.sequence);
        return;
      }
      const newer = await this.#services.surely(() =>
        this.#compactions.base(this.#source.id, name),
      );
      if (newer?.version !== version || newer.sequence <= record.sequence) {
        throw this.#compactions.missing(name, before);
      }
    }
  }

  /** Somebody has written: this process, whoever folds instead, or who wants it rebuilt. */
  #heard({ value, revision }: Entry): void {
    if (revision <= this.#revision || value === undefined) return;
    const record = value as ProjectionRecord;
    const { token, builds } = this.#stored;
    // The one who folds hears its own writes, too, before they are confirmed.
    if (this.#interrupt && record.token === token && record.builds === builds) return;
    this.#interrupt?.("overtaken");
    this.#show(record, revision);
  }

  #show(record: ProjectionRecord, revision: number): void {
    const { builds, sequence } = this.#stored;
    const back = record.builds < builds || (record.builds === builds && record.sequence < sequence);
    if (back) this.#waiters.lost();
    this.#stored = record;
    this.#revision = revision;
    this.#waiters.reach(record.sequence);
    this.#report.at(record.sequence);
  }

  /** Folds for as long as it leads. */
  async #lead({ token, signal }: Leadership): Promise<void> {
    while (!signal.aborted && this.#stopped === undefined) {
      try {
        // Again when somebody wanted it rebuilt.
        await this.#fold(token, signal);
      } catch (error) {
        if (signal.aborted || isMeshError(error, "FENCED")) return;
        this.#fail(toMeshError(error));
        return;
      }
    }
  }

  /** Takes over what is stored and folds what comes behind it, until it is interrupted. */
  async #fold(token: number, signal: AbortSignal): Promise<void> {
    const { bucket } = this.#compactions;
    const entry = await this.#services.surely(
      () => bucket.get(this.#key),
      () => signal.aborted,
    );
    if (entry === undefined) return this.#beginAnew(); // somebody has removed it, or the broker has lost its disk
    const found = entry.value as ProjectionRecord;
    if (found.token > token) throw new MeshError("FENCED", `${this.#key} has a newer owner.`);
    const interrupted = Promise.withResolvers<void>();
    const overtaken = new AbortController();
    this.#interrupt = (why) => {
      if (why === "overtaken") overtaken.abort();
      interrupted.resolve();
    };
    signal.addEventListener("abort", () => interrupted.resolve(), { once: true });
    const { version } = this.#spec;
    const { builds } = found;
    let { state, sequence } = structuredClone(found); // handlers may change it, and what is stored is shown
    let writing: Promise<void> | undefined;
    let failure: unknown;
    const failed = (error: unknown): void => {
      failure ??= error;
      interrupted.resolve();
    };
    const write = async (): Promise<void> => {
      const behind = (): boolean =>
        sequence > this.#stored.sequence || this.#stored.token !== token;
      while (!overtaken.signal.aborted && behind()) {
        const record = { state, sequence, version, token, builds };
        // One after the other, each with all that has come meanwhile.
        if (!(await this.#write(record))) return interrupted.resolve();
      }
    };
    const begin = (): void => {
      writing ??= write()
        .catch(failed)
        .finally(() => {
          writing = undefined;
        });
    };
    this.#show(found, entry.revision);
    const count = (events: number): void => this.#report.count(events);
    const cursor: StreamCursor = new StreamCursor(this.#services, this.#source, sequence + 1, {
      take: (record) => {
        try {
          if (failure !== undefined) return;
          state = this.#next(state, record, count);
          ({ sequence } = record);
          begin();
        } catch (error) {
          failed(error);
        } finally {
          cursor.release(record);
        }
      },
      reborn: () => void this.#beginAnew().catch(failed),
      failed,
    });
    begin();
    try {
      await cursor.open();
      await interrupted.promise;
    } finally {
      this.#interrupt = undefined;
      await cursor.end();
      await writing;
    }
    if (failure !== undefined) throw failure;
  }

  #next(state: unknown, record: PulledRecord, count: (events: number) => void): unknown {
    return foldRecord(this.#source, this.#spec, state, record, count);
  }

  /** False: somebody else has written since. */
  async #write(record: ProjectionRecord): Promise<boolean> {
    const { bucket } = this.#compactions;
    const kept = structuredClone(record); // what was stored is shown, not what is folded on
    const expected = this.#revision; // also when it is repeated: what was heard meanwhile is somebody else's
    try {
      const revision = await this.#services.surely(
        () => bucket.put(this.#key, kept, { revision: expected }),
        undefined,
        Infinity,
      );
      // Else somebody else's, which came later, was heard of sooner.
      if (revision > this.#revision) this.#show(kept, revision);
      return true;
    } catch (error) {
      if (!isMeshError(error, "CONFLICT")) throw error;
      // Perhaps by an earlier attempt, whose confirmation was lost.
      const there = await this.#services.surely(() => bucket.get(this.#key));
      const found = there?.value as ProjectionRecord | undefined;
      const own = found?.token === kept.token && found.builds === kept.builds;
      if (!own || found.sequence !== kept.sequence) return false;
      this.#show(kept, there!.revision);
      return true;
    }
  }

  #fail(error: MeshError): void {
    const { log } = this.#services.runtime;
    log.error({ err: error, projection: this.#spec.name }, "a projection cannot go on");
    this.#ended.reject(error);
    this.#stopped ??= this.#end(error);
  }

  async #end(reason: MeshError): Promise<void> {
    this.#waiters.fail(reason);
    this.#unwatch?.();
    this.#interrupt?.("stopped");
    await this.#election?.resign();
    this.#ended.resolve();
  }
}
