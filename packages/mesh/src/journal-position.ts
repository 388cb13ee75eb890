import { MeshError, isMeshError } from "@plexus/core";
import type { Bucket } from "./bucket.ts";
import type { Position } from "./journal-follower.ts";
import type { JournalServices } from "./journal-services.ts";

/** What is stored: where it is, and the fencing token of who may move it. */
interface PositionRecord extends Position {
  readonly token: number;
}

/**
 * Where a named subscription is, as the broker has it. Only who holds the highest token moves it: each write is conditional on
 * the one before, and the first act of a new holder is a write.
 */
export class StoredPosition {
  readonly #services: JournalServices;
  readonly #bucket: Bucket;
  readonly #key: string;
  readonly #token: number;
  #revision = 0;
  #written: Position | undefined;
  #next: Position | undefined;
  #writing: Promise<void> | undefined;

  constructor(services: JournalServices, bucket: Bucket, key: string, token: number) {
    this.#services = services;
    this.#bucket = bucket;
    this.#key = key;
    this.#token = token;
  }

  /** Makes sure that there is a position; it is the one given if there was none. */
  static async begin(
    services: JournalServices,
    bucket: Bucket,
    key: string,
    position: () => Promise<Position>,
  ): Promise<void> {
    if (await services.surely(() => bucket.get(key))) return;
    const { sequence, index } = await position();
    try {
      await services.surely(() => bucket.put(key, { sequence, index, token: 0 }, { revision: 0 }));
    } catch (error) {
      if (!isMeshError(error, "CONFLICT")) throw error; // somebody else has begun it
    }
  }

  /** Takes it over. Rejects with `FENCED` if there is a newer holder. */
  async take(): Promise<Position> {
    for (;;) {
      // Again only if the former holder wrote meanwhile.
      const entry = await this.#services.surely(() => this.#bucket.get(this.#key));
      if (entry === undefined) throw fenced(this.#key); // somebody has removed it
      const { sequence, index, token } = entry.value as PositionRecord;
      if (token > this.#token) throw fenced(this.#key);
      this.#revision = entry.revision;
      const position = { sequence, index };
      try {
        await this.#write(position);
        return position;
      } catch (error) {
        if (!isMeshError(error, "FENCED")) throw error;
      }
    }
  }

  /** Notes a position; one write is under way at a time, and the next one has the newest. */
  note(position: Position, failed: (error: unknown) => void): void {
    this.#next = position;
    this.#writing ??= this.#writeAll().catch(failed);
  }

  /** Resolves when what was noted is stored, or cannot be. */
  async settled(): Promise<void> {
    await this.#writing;
  }

  async #writeAll(): Promise<void> {
    try {
      while (this.#next !== undefined && this.#next !== this.#written) {
        await this.#write(this.#next);
      }
    } finally {
      this.#writing = undefined;
    }
  }

  async #write(position: Position): Promise<void> {
    const { sequence, index } = position;
    const record: PositionRecord = { sequence, index, token: this.#token };
    try {
      this.#revision = await this.#services.surely(
        () => this.#bucket.put(this.#key, record, { revision: this.#revision }),
        undefined,
        Infinity,
      );
    } catch (error) {
      if (!isMeshError(error, "CONFLICT")) throw error;
      // Perhaps by an earlier attempt, whose confirmation was lost.
      const there = await this.#services.surely(() => this.#bucket.get(this.#key));
      const found = there?.value as PositionRecord | undefined;
      const own = found?.token === this.#token && found.sequence === sequence;
      if (!own || found.index !== index) throw fenced(this.#key);
      this.#revision = there!.revision;
    }
    this.#written = position;
  }
}

function fenced(key: string): MeshError {
  return new MeshError("FENCED", `${key}: somebody else goes on from there.`);
}
