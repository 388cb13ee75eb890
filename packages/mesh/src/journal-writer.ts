import { MeshError, isMeshError, toMeshError, type Journal } from "@plexus/core";
import type { Append, Appended } from "./journal-append.ts";
import { JournalConflict } from "./journal-conflict.ts";
import { KeyLanes } from "./journal-lanes.ts";
import { LastSeen } from "./journal-memory.ts";
import { eventId, recordFields } from "./journal-record.ts";
import type { JournalServices } from "./journal-services.ts";
import { isRepeated } from "./nats/jetstream-error.ts";
import type { Outgoing } from "./nats/jetstream.ts";
import { nowMs } from "./clock.ts";
import { newId } from "./runtime.ts";
import { envelopeBytes } from "./task-message.ts";
import { isPassing, untilConnected } from "./surely.ts";

/** An append and its parents that come from where it is made. */
interface Part {
  readonly append: Append;
  readonly causes: readonly string[];
}

/** An append that waits to be stored. */
interface Entry extends Part {
  readonly deadlineMs: number;
  readonly signal: AbortSignal | undefined;
  readonly resolve: (appended: Appended) => void;
  readonly reject: (error: MeshError) => void;
}

/** Appends that are stored together, or not at all. */
interface AppendSet {
  readonly appends: readonly Append[];
  readonly causes: readonly string[];
  readonly deadlineMs: number;
  readonly signal: AbortSignal | undefined;
  readonly resolve: (first: number) => void;
  readonly reject: (error: MeshError) => void;
}

export const MAX_BATCH = 1_000; // messages that the broker stores together
const MAX_TOGETHER = 500;
const MAX_TOGETHER_BYTES = 1024 * 1024;
const MAX_QUEUED_BYTES = 64 * 1024 * 1024;
const FEW = 8; // appends of a key that are faster one after the other: a batch costs the broker more than a message
const MAX_SETS = 2; // batches of sets under way
const MAX_BATCHES = 32; // under way at a time; the broker allows 50 for all writers of a stream
const FIRST_PAUSE_MS = 20;
const MAX_PAUSE_MS = 1_000;

/**
 * Appends to one journal. Appends of one key are stored in the order in which they were made, whatever has to be repeated: one
 * write is under way for each key, and those that waited meanwhile and expect nothing are the next one, together.
 */
export class JournalWriter {
  readonly seen = new LastSeen();
  readonly #services: JournalServices;
  readonly #journal: Journal;
  readonly #conflicts: JournalConflict;
  readonly #lanes: KeyLanes<Entry>;
  readonly #turns: (() => void)[] = [];
  readonly #sets: AppendSet[] = [];
  #storing = 0;
  #batches = 0;
  #queuedBytes = 0;

  constructor(services: JournalServices, journal: Journal) {
    this.#services = services;
    this.#journal = journal;
    this.#conflicts = new JournalConflict(services, journal.name);
    this.#lanes = new KeyLanes<Entry>((entries) => this.#store(entries), together);
  }

  /** @param causes parents that come from where the append is made */
  append(
    append: Append,
    causes: readonly string[],
    deadlineMs: number,
    signal?: AbortSignal,
  ): Promise<Appended> {
    const leave = this.#enter(append.bytes);
    const { promise, resolve, reject } = Promise.withResolvers<Appended>();
    this.#lanes.add(append.token, { append, deadlineMs, causes, signal, resolve, reject });
    return promise.finally(leave);
  }

  /**
   * Stores all of these appends, of different keys, or none of them. Calls that wait at the same time are one batch of the broker, which
   * costs it the same for three messages as for three hundred; one that is refused is taken apart again.
   */
  async appendAll(
    appends: readonly Append[],
    causes: readonly string[],
    deadlineMs: number,
    signal?: AbortSignal,
  ): Promise<Appended[]> {
    const tokens = appends.map(({ token }) => token);
    const leave = this.#enter(appends.reduce((sum, { bytes }) => sum + bytes, 0));
    const stored = this.#lanes.alone(tokens, async () => {
      const { promise, resolve, reject } = Promise.withResolvers<number>();
      this.#sets.push({ appends, causes, deadlineMs, signal, resolve, reject });
      if (this.#storing < MAX_SETS) void this.#storeSets();
      const first = await promise;
      return appends.map((append, i) => this.#stored(append, first + i));
    });
    return stored.finally(leave);
  }

  /** Resolves when nothing waits to be stored any more. */
  settled(): Promise<void> {
    return this.#lanes.settled();
  }

  /** Takes some of the room for what waits. Throws `OVERLOADED` if there is none. */
  #enter(bytes: number): () => void {
    if (this.#queuedBytes + bytes > MAX_QUEUED_BYTES) {
      throw new MeshError(
        "OVERLOADED",
        `Journal ${this.#journal.name}: ${this.#queuedBytes} bytes wait to be stored. Await each append, so that it can slow you down.`,
      );
    }
    this.#queuedBytes += bytes;
    return () => {
      this.#queuedBytes -= bytes;
    };
  }

  async #storeSets(): Promise<void> {
    this.#storing++;
    await Promise.resolve(); // so that what is appended in one go becomes one batch
    // What comes meanwhile is the next batch.
    while (this.#sets.length > 0) {
      const sets = this.#sets.splice(0, fitting(this.#sets));
      const parts = sets.flatMap(({ appends, causes }) =>
        appends.map((append) => ({ append, causes })),
      );
      if (sets.length === 1) await this.#storeSet(sets[0]!);
      else await this.#storeTogether(sets, parts);
    }
    this.#storing--;
  }

  async #storeTogether(sets: readonly AppendSet[], parts: readonly Part[]): Promise<void> {
    try {
      const deadlineMs = Math.min(...sets.map((set) => set.deadlineMs));
      let sequence = await this.#persist(parts, deadlineMs);
      for (const { appends, resolve } of sets) {
        resolve(sequence);
        sequence += appends.length;
      }
    } catch (error) {
      // Refused as a whole for the sake of one of them, or its fate is unknown: then each for itself.
      const doubtful = isMeshError(error, "TIMEOUT");
      await Promise.all(sets.map((set) => this.#storeSet(set, doubtful)));
    }
  }

  async #storeSet(
    { appends, causes, deadlineMs, signal, resolve, reject }: AppendSet,
    doubtful = false,
  ): Promise<void> {
    try {
      const parts = appends.map((append) => ({ append, causes }));
      resolve(await this.#persist(parts, deadlineMs, signal, doubtful));
    } catch (error) {
      reject(toMeshError(error));
    }
  }

  /** Appends of one key, in their order. Settles each. */
  async #store(entries: readonly Entry[]): Promise<void> {
    const [first] = entries as readonly [Entry];
    if (entries.length > 1) {
      try {
        const sequence = await this.#persist(entries, first.deadlineMs);
        for (const [i, { append, resolve }] of entries.entries()) {
          resolve(this.#stored(append, sequence + i));
        }
        return;
      } catch (error) {
        // A batch is refused as a whole, most often because some of it is stored already: then one after the other.
        if (isPassing(error)) {
          for (const { reject } of entries) reject(error);
          return;
        }
      }
    }
    for (const entry of entries) {
      const { append, deadlineMs, signal, resolve, reject } = entry;
      try {
        const sequence = await this.#persist([entry], deadlineMs, signal);
        resolve(this.#stored(append, sequence));
      } catch (error) {
        reject(toMeshError(error));
      }
    }
  }

  /** Resolves with the sequence of the first one; the others follow it without a gap. */
  async #persist(
    parts: readonly Part[],
    deadlineMs: number,
    signal?: AbortSignal,
    unknownBefore = false,
  ): Promise<number> {
    const { store, runtime } = this.#services;
    /** An earlier attempt has no known outcome: it may be stored. */
    let doubtful = unknownBefore;
    if (nowMs() >= deadlineMs && !doubtful) {
      const text = `Journal ${this.#journal.name}: not in time, as it waited for those before it, and not stored.`;
      throw new MeshError("NOT_CONNECTED", text);
    }
    for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 2, MAX_PAUSE_MS)) {
      try {
        if (signal?.aborted && !doubtful) {
          const text = `Journal ${this.#journal.name}: no longer wanted, and not stored.`;
          throw new MeshError("CANCELED", text, { cause: signal.reason });
        }
        if (this.#services.closed) throw closed();
        if (!runtime.link.connected) throw new MeshError("NOT_CONNECTED", "there is no broker.");
        await store.open(this.#journal.name);
        return await this.#write(parts);
      } catch (error) {
        if (isMeshError(error, "CONFLICT") || isRepeated(error)) {
          const appends = parts.map(({ append }) => append);
          const found = await this.#conflicts.judge(appends, error, deadlineMs);
          if (found !== undefined) return found;
          continue; // the broker had not decided
        }
        if (!isPassing(error)) throw error;
        doubtful ||= error.code === "TIMEOUT";
        if (nowMs() + pause >= deadlineMs || this.#services.closed) {
          throw outOfTime(this.#journal.name, error, doubtful);
        }
        // With a connection and still nobody to take it, the broker may have lost the stream.
        if (runtime.link.connected && error.code === "NOT_CONNECTED") store.forget();
        await untilConnected(runtime, pause);
      }
    }
  }

  async #write(parts: readonly Part[]): Promise<number> {
    const { js } = this.#services;
    const before = new Map<string, string>();
    const messages: Outgoing[] = [];
    for (const part of parts) {
      // Asks the broker only if it has to.
      messages.push(await this.#message(part, before));
    }
    if (messages.length === 1) {
      const [{ subject, data, headers }] = messages as [Outgoing];
      return js.publish(subject, data, { headers });
    }
    await this.#turn();
    try {
      return (await js.publishBatch(newId(), messages)) - messages.length + 1;
    } finally {
      this.#batches--;
      this.#turns.shift()?.();
    }
  }

  /** @param before last event of each key, by the messages made so far */
  async #message({ append, causes }: Part, before: Map<string, string>): Promise<Outgoing> {
    const { key, token, id, count, expected, payload } = append;
    const { name } = this.#journal;
    const { subjects, client } = this.#services.runtime;
    let { parents } = append;
    if (parents === undefined) {
      const previous = before.get(token) ?? (await this.#previous(append));
      parents = previous === undefined ? causes : [previous, ...causes];
    }
    before.set(token, eventId(id, count - 1));
    const fields = recordFields(name, client, { id, key, count }, parents, payload);
    const data = Buffer.from(envelopeBytes(fields));
    const headers: Record<string, string> = { "Nats-Msg-Id": `${token} ${id}` };
    if (expected !== undefined) headers["Nats-Expected-Last-Subject-Sequence"] = String(expected);
    return { subject: subjects.journal(name, token), data, headers };
  }

  /** The event that the writer saw last of the key. Who expects a sequence saw that one. */
  async #previous({ token, expected }: Append): Promise<string | undefined> {
    const seen = this.seen.of(token);
    if (expected === undefined) return seen?.id;
    if (expected === 0) return undefined;
    if (seen?.sequence === expected) return seen.id;
    return this.#conflicts.lastEventOf(token, expected);
  }

  #stored({ key, token, id, count }: Append, sequence: number): Appended {
    const ids = Array.from({ length: count }, (_, i) => eventId(id, i));
    this.seen.note(token, sequence, ids.at(-1)!);
    return { key, sequence, ids };
  }

  async #turn(): Promise<void> {
    if (this.#batches >= MAX_BATCHES) {
      await new Promise<void>((resolve) => this.#turns.push(resolve));
    }
    this.#batches++;
  }
}

/** How many of these appends, all of one key, are stored in one go: those that expect nothing, if there are many. */
function together(waiting: readonly Entry[]): number {
  let bytes = 0;
  let count = 0;
  for (const { append, signal } of waiting) {
    bytes += append.bytes;
    const alone = append.expected !== undefined || signal !== undefined;
    if (alone || count >= MAX_TOGETHER || bytes > MAX_TOGETHER_BYTES) break;
    count++;
  }
  return count < FEW ? 1 : count;
}

/** How many of these sets are stored in one go. */
function fitting(sets: readonly AppendSet[]): number {
  let bytes = 0;
  let messages = 0;
  let count = 0;
  for (const { appends, signal } of sets) {
    messages += appends.length;
    for (const append of appends) bytes += append.bytes;
    const alone = signal !== undefined || messages > MAX_TOGETHER || bytes > MAX_TOGETHER_BYTES;
    if (alone) break;
    count++;
  }
  return Math.max(1, count);
}

function outOfTime(journal: string, cause: MeshError, doubtful: boolean): MeshError {
  const what = `Journal ${journal}: not confirmed in time`;
  if (!doubtful) return new MeshError(cause.code, `${what}: ${cause.message}`, { cause });
  const text = `${what}, it may or may not be stored. Append it again with the same id.`;
  return new MeshError("TIMEOUT", text, { cause });
}

function closed(): MeshError {
  return new MeshError("NOT_CONNECTED", "This connection to the mesh is closed.");
}
