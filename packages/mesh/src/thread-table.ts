import { setTimeout as sleep } from "node:timers/promises";
import { MeshError, decodePayload, encodePayload, type ThreadState } from "@plexus/core";
import type { EntityServices } from "./entity-services.ts";
import { FENCE } from "./entity-record.ts";
import { lastComplete, readParts, writeParts } from "./parted-record.ts";
import type { PartitionLog } from "./partition-log.ts";
import { TABLE, maxPartBytes, readThreadMessage, type ThreadMessage } from "./thread-record.ts";

/** What is to happen with a thread: something now, something at a time (ms since the epoch), or nothing (`Infinity`). */
type Entry = readonly [thread: string, due: number];

const DUE = { busy: 0, waiting: Infinity } as const;
const MAX_TAIL = 1_000; // messages since the table was written, which the next owner reads …
const MAX_TAIL_BYTES = 4 * 1024 * 1024; // … and bytes
const MAX_PASSED = 10_000; // messages of all partitions since then, which the broker passes over
const LONG_READ = 500; // of these, when an owner that has met them spares the next one the same
const BATCH = 1_024;
const LAG_MS = 10;

/**
 * The threads of a partition in which something is under way. Follows from the records, and is written now and then so that the next
 * owner need not read all of them: what costs something is how many are under way, not how many there have ever been.
 */
export class ThreadTable {
  readonly #services: EntityServices;
  readonly #log: PartitionLog;
  readonly #open = new Map<string, number>();
  /** Threads that this process is to go on with, or goes on with already. */
  readonly #told = new Set<string>();
  /** The earliest time at which a thread has slept long enough, or before. */
  #nextMs = Infinity;
  /** Sequence of the last message that is in it; and when it was last written. */
  #upTo = 0;
  #since = 0;
  #written = 0;
  #tail = 0;
  #tailBytes = 0;
  #writing: Promise<void> | undefined;

  constructor(services: EntityServices, log: PartitionLog) {
    this.#services = services;
    this.#log = log;
  }

  /** Threads that are under way. */
  get size(): number {
    return this.#open.size;
  }

  /** Reads it, when the fence has been raised: nobody else writes any more. */
  async load(): Promise<void> {
    const { js, store } = this.#services;
    const ask = <T>(request: () => Promise<T>): Promise<T> => this.#log.surely(request);
    const last = await this.#log.last(TABLE);
    const source = { js, stream: store.journal, subject: this.#log.subject(TABLE), ask };
    const table = await readParts<number>(source, last);
    this.#written = lastComplete(last);
    this.#upTo = table?.meta ?? 0;
    this.#since = this.#upTo;
    const bytes = table === undefined ? undefined : Buffer.concat(table.parts);
    const entries = (bytes === undefined ? [] : decodePayload(bytes)) as Entry[];
    for (const [thread, due] of entries) this.#open.set(thread, due);
    await this.#readTail();
    this.#nextMs = -Infinity;
    // Owners that die one after the other would all read the same, and lose their leases over it.
    const read = this.#log.fence - this.#since;
    this.#upTo = this.#log.fence;
    if (read >= Math.max(LONG_READ, this.#open.size)) void this.#writeNow().catch(() => undefined);
  }

  /** Threads that are busy, or have slept long enough, and have not been told before: `most` of them. */
  takeDue(nowMs: number, most: number): string[] {
    if (nowMs < this.#nextMs || most <= 0) return [];
    const due: string[] = [];
    this.#nextMs = Infinity;
    for (const [thread, at] of this.#open) {
      if (this.#told.has(thread)) continue;
      if (at <= nowMs) {
        if (due.length === most) {
          this.#nextMs = -Infinity; // there are more
          break;
        }
        due.push(thread);
        this.#told.add(thread);
      } else this.#nextMs = Math.min(this.#nextMs, at);
    }
    return due;
  }

  /** When something is to happen with the thread (ms since the epoch; 0: now), `Infinity` if nothing is. */
  dueAt(thread: string): number {
    return this.#open.get(thread) ?? Infinity;
  }

  /** This process does not go on with the thread after all: it is told again. */
  untake(thread: string): void {
    this.#told.delete(thread);
    this.#nextMs = -Infinity;
  }

  /** A message has been stored by this process. */
  note(thread: string, state: ThreadState, sequence: number, bytes: number): void {
    if (state === "busy") this.#told.add(thread);
    else this.#told.delete(thread);
    this.#set(thread, state, sequence, bytes);
    // A table longer than what it spares is not written yet.
    const { size } = this.#open;
    const isLong =
      this.#tail >= Math.max(MAX_TAIL, size) ||
      this.#tailBytes >= MAX_TAIL_BYTES ||
      sequence - this.#since >= Math.max(MAX_PASSED, size);
    if (isLong) void this.write().catch(() => undefined); // the next one does it then
  }

  /** Writes it, if it has changed. */
  write(): Promise<void> {
    return this.#tail === 0 ? Promise.resolve() : this.#writeNow();
  }

  #writeNow(): Promise<void> {
    return (this.#writing ??= this.#write().finally(() => {
      this.#writing = undefined;
    }));
  }

  async #write(): Promise<void> {
    const bytes = encodePayload([...this.#open]);
    const parts: Uint8Array[] = [];
    const most = maxPartBytes(this.#log.maxPayload);
    for (let from = 0; from < bytes.length; from += most) {
      parts.push(bytes.slice(from, from + most));
    }
    const upTo = this.#upTo;
    this.#tail = 0;
    this.#tailBytes = 0;
    this.#since = upTo;
    this.#written = await writeParts(this.#log, TABLE, this.#written, upTo, parts);
  }

  async #readTail(): Promise<void> {
    const { js, store } = this.#services;
    const { fence } = this.#log;
    for (let next = this.#upTo + 1; next <= fence;) {
      const from = next;
      // Each batch begins where the one before ended.
      const batch = await this.#log.surely(() =>
        js.batch(store.journal, this.#log.subject("*"), from, BATCH),
      );
      for (const message of batch) {
        next = message.sequence + 1;
        this.#since ||= message.sequence; // there was no table yet
        if (message.sequence >= fence) break;
        const read = isFence(message.subject) ? undefined : readThreadMessage(message);
        if (read !== undefined) this.#take(read, message.sequence, message.data.length);
      }
      if (batch.length === 0) {
        // Either who has answered is behind, or the fence is there no more: then another one is raised.
        const found = await this.#log.surely(() =>
          js.next(store.journal, this.#log.subject("*"), from),
        );
        if (found === undefined) throw new MeshError("CONFLICT", "Somebody has deleted the fence.");
        await sleep(LAG_MS);
      }
    }
  }

  #set(thread: string, state: ThreadState, sequence: number, bytes: number): void {
    this.#upTo = sequence;
    this.#tail++;
    this.#tailBytes += bytes;
    if (state === "over" || state === "failed" || state === "canceled") {
      this.#open.delete(thread);
      return;
    }
    const due = typeof state === "string" ? DUE[state] : state.until;
    this.#open.set(thread, due);
    this.#nextMs = Math.min(this.#nextMs, due);
  }

  #take({ thread, end, state }: ThreadMessage, sequence: number, bytes: number): void {
    if (end === 0) this.#upTo = sequence;
    else this.#set(thread, state, sequence, bytes);
  }
}

function isFence(subject: string): boolean {
  return subject.endsWith(`.${FENCE}`);
}
