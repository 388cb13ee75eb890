import { setTimeout as sleep } from "node:timers/promises";
import { MeshError, isMeshError } from "@plexus/core";
import type { Bucket, Entry } from "./bucket.ts";
import type { EventSource } from "./event-source.ts";
import type { JournalServices } from "./journal-services.ts";

/** What is noted of the compactions of a journal. */
interface CompactionRecord {
  /** Appends before this sequence may be gone. */
  readonly before: number;
  /** A compaction that is under way, or was broken off, takes those before this one. */
  readonly intent: number;
  /** It has begun to take them. Until then whoever reads has had some time to pass them. */
  readonly purging: boolean;
}

/** A state that a projection has stored, and how far it is. */
export interface ProjectionRecord {
  readonly state: unknown;
  readonly sequence: number;
  /** Of the projection. */
  readonly version: number;
  /** The fencing token of who folds. */
  readonly token: number;
  /** How often somebody has had it built anew. */
  readonly builds: number;
}

const NOTHING: CompactionRecord = { before: 1, intent: 1, purging: false };
/** Between what is told and what is done: time for whoever follows closely to pass what will be gone. */
const NOTICE_MS = 1_000;

/**
 * What is recorded of projections, subscriptions and compactions, each under a key of one bucket: `p.` what a projection has stored, `b.`
 * what it is rebuilt from where events are gone, `f.` where a subscription is, `c.` which events may be gone.
 */
export class Compactions {
  readonly #services: JournalServices;
  readonly bucket: Bucket;

  constructor(services: JournalServices, bucket: Bucket) {
    this.#services = services;
    this.bucket = bucket;
  }

  /** Appends of a source before this sequence may be gone, or may soon be. */
  async before({ id }: Pick<EventSource, "id">): Promise<number> {
    const { before, intent } = record(await this.#get(`c.${id}`));
    return Math.max(before, intent);
  }

  /** Appends of a source before this sequence may be gone already. */
  async gone({ id }: Pick<EventSource, "id">): Promise<number> {
    return goneIn(await this.#get(`c.${id}`));
  }

  /** Tells, now and whenever it changes, before which sequence appends may be gone already. Returns what ends it. */
  watch({ id }: Pick<EventSource, "id">, listener: (before: number) => void): Promise<() => void> {
    return this.#services.surely(() =>
      this.bucket.watch((entry) => {
        listener(goneIn(entry));
      }, `c.${id}`),
    );
  }

  missing(projection: string, before: number): MeshError {
    const text = `Projection ${projection} needs events before sequence ${before}, which a compaction has purged. A projection with store "bucket" that was there before has a state to go on from.`;
    return new MeshError("COMPACTED", text, { details: { before } });
  }

  /** What a projection is rebuilt from; undefined: from all events. */
  async base(id: string, name: string): Promise<ProjectionRecord | undefined> {
    return (await this.#get(`b.${id}.${name}`))?.value as ProjectionRecord | undefined;
  }

  /**
   * Has `purge` take appends before a sequence out of a journal, when every projection that is stored can be rebuilt without
   * them and every named subscription has passed them. Rejects with `CONFLICT`, saying who is not so far. Whatever dies meanwhile, nothing
   * is purged before it is stored what stands for it.
   */
  async compact<T>(
    { id, title }: Pick<EventSource, "id" | "title">,
    before: number,
    purge: () => Promise<T>,
  ): Promise<T> {
    await this.#keepBases(id, title, before);
    await this.#note(id, ({ before: done }) => ({ before: done, intent: before, purging: false }));
    // Whoever begins to rebuild from now on sees the intent; whoever has begun before is seen here.
    try {
      await this.#demandPassed(id, title, before);
    } catch (error) {
      await this.#note(id, ({ before: done }) => ({ before: done, intent: done, purging: false }));
      throw error;
    }
    await sleep(NOTICE_MS);
    await this.#note(id, ({ before: done }) => ({ before: done, intent: before, purging: true }));
    const purged = await purge();
    await this.#note(id, ({ before: done }) => {
      const most = Math.max(done, before);
      return { before: most, intent: most, purging: false };
    });
    return purged;
  }

  async #keepBases(id: string, title: string, before: number): Promise<void> {
    const stored = await this.#demandPassed(id, title, before);
    await Promise.all(
      stored.map(async ({ key, value }) => {
        const { state, sequence, version } = value as ProjectionRecord;
        const base = `b${key.slice(1)}`;
        for (;;) {
          // Again only if somebody else compacted meanwhile.
          const there = await this.#get(base);
          const known = there?.value as ProjectionRecord | undefined;
          if (known && known.version === version && known.sequence >= before - 1) return;
          const kept: ProjectionRecord = { state, sequence, version, token: 0, builds: 0 };
          if (await this.#put(base, kept, there?.revision ?? 0)) return;
        }
      }),
    );
  }

  /** What the projections of a source have stored. Throws `CONFLICT` if there is none, or somebody is not so far. */
  async #demandPassed(id: string, title: string, before: number): Promise<Entry[]> {
    const keys = await this.#services.surely(() => this.bucket.keys());
    const read = async (prefix: string): Promise<Entry[]> => {
      const own = keys.filter((key) => key.startsWith(prefix));
      return (await Promise.all(own.map((key) => this.#get(key)))).filter(
        (entry) => entry !== undefined,
      );
    };
    const [projections, followers] = await Promise.all([read(`p.${id}.`), read(`f.${id}.`)]);
    const refuse = (text: string, retryable: boolean): never => {
      throw new MeshError("CONFLICT", `${title} is not compacted: ${text}.`, { retryable });
    };
    if (projections.length === 0) {
      refuse('no projection with store "bucket" keeps a state from which to go on', false);
    }
    for (const { key, value } of [...projections, ...followers]) {
      const { sequence } = value as { sequence: number };
      const what = key.startsWith("p") ? "projection" : "subscription";
      if (sequence < before - 1) {
        refuse(`${what} ${key.split(".")[3]} is at ${sequence}, before ${before - 1}`, true);
      }
    }
    return projections;
  }

  async #note(id: string, change: (record: CompactionRecord) => CompactionRecord): Promise<void> {
    for (;;) {
      // Again only if somebody else wrote meanwhile.
      const entry = await this.#get(`c.${id}`);
      if (await this.#put(`c.${id}`, change(record(entry)), entry?.revision ?? 0)) return;
    }
  }

  #get(key: string): Promise<Entry | undefined> {
    return this.#services.surely(() => this.bucket.get(key));
  }

  /** False: somebody else, or an earlier attempt whose answer was lost, has written. */
  async #put(key: string, value: unknown, revision: number): Promise<boolean> {
    try {
      await this.#services.surely(() => this.bucket.put(key, value, { revision }));
      return true;
    } catch (error) {
      if (isMeshError(error, "CONFLICT")) return false;
      throw error;
    }
  }
}

function goneIn(entry: Entry | undefined): number {
  const { before, intent, purging } = record(entry);
  return purging ? Math.max(before, intent) : before;
}

function record(entry: Entry | undefined): CompactionRecord {
  return (entry?.value as CompactionRecord | undefined) ?? NOTHING;
}
