import { DiscardPolicy, RetentionPolicy, StorageType } from "@nats-io/jetstream";
import { MeshError, escapeKey, type State } from "@plexus/core";
import { decodeState, encodeState, type StateRecord, type StoredState } from "../state-record.ts";
import type { Runtime } from "../runtime.ts";
import { JetStream } from "./jetstream.ts";
import { Lasting } from "./lasting.ts";
import { Leaderless } from "./leaderless.ts";
import { Streams } from "./streams.ts";

/** What was read of a state's stream, in its order. */
export interface Page {
  readonly found: readonly StoredState[];
  /** Sequence of the last message that was read, records or not; undefined: there was none. */
  readonly last: number | undefined;
  /** Whether the one who answered had no more. */
  readonly complete: boolean;
}

const API_TIMEOUT_MS = 5_000;
const WRITE_TIMEOUT_MS = 2_000;
const READ_TIMEOUT_MS = 1_000; // a replica that hangs is asked again, and then it is another one
const PAGE = 512;
const PAGE_BYTES = 2 * 1024 * 1024; // half of what one answer holds
const KEYS = "k.";
const BARRIER = "b";
const REMOVED_TTL_S = 600; // in memory: how long a removal is remembered

/**
 * The stream of one shared state: a message per key, and one that is written over and over as a barrier. The broker publishes
 * each message that it has stored once more, on an ordinary subject.
 */
export class StateStore {
  readonly #runtime: Runtime;
  readonly #contract: State;
  readonly #stream: string;
  readonly #writing: JetStream;
  readonly #reading: JetStream;
  readonly #stored: Lasting;
  readonly #streams: Streams;

  constructor(runtime: Runtime, contract: State) {
    const { link, subjects, client } = runtime;
    this.#runtime = runtime;
    this.#contract = contract;
    this.#stream = `${subjects.mesh}-state-${contract.name}`;
    const inbox = `${subjects.inbox(client)}.st.${contract.name}`;
    this.#writing = new JetStream(link, `${inbox}.w`, undefined, WRITE_TIMEOUT_MS);
    this.#reading = new JetStream(link, `${inbox}.r`, undefined, READ_TIMEOUT_MS);
    this.#streams = new Streams(link, API_TIMEOUT_MS);
    const make = (): Promise<void> => this.#make();
    const leaderless = new Leaderless(link, subjects.mesh, this.#stream, make, runtime.log);
    const inMemory = contract.storage === "memory";
    this.#stored = new Lasting(link, make, inMemory ? () => leaderless.suspect() : undefined);
  }

  /** What the stream's leader, or who believes to be it, has under a key. */
  async read(key: string): Promise<StoredState | undefined> {
    const subject = this.#subject(key);
    const found = await this.#stored.asking(() => this.#reading.last(this.#stream, subject));
    if (found === undefined) return undefined;
    const { data, sequence, storedAt } = found;
    return { record: decodeState(data), revision: sequence, storedAt };
  }

  /**
   * Replaces what has that revision (0: nothing) and resolves with the new one. Rejects like {@link JetStream.publish}, with
   * `CONFLICT` when there is something else.
   */
  write(record: StateRecord, revision: number): Promise<number> {
    const subject = this.#subject(record.key);
    const data = encodeState(record);
    const headers = this.#lifetime(record);
    return this.#stored.asking(() =>
      this.#writing.publish(subject, data, { headers, expect: { sequence: revision } }),
    );
  }

  /** Writes something that is no record, and resolves with its sequence: everything confirmed before it was asked for lies before it. */
  barrier(): Promise<number> {
    const subject = this.#runtime.subjects.state(this.#contract.name, BARRIER);
    return this.#stored.asking(() => this.#writing.publish(subject, new Uint8Array(0)));
  }

  /** What lies in the stream from a sequence on, as one of its replicas knows it. */
  async page(from: number): Promise<Page> {
    const prefix = this.#runtime.subjects.state(this.#contract.name, "");
    const messages = await this.#stored.asking(() =>
      this.#reading.batch(this.#stream, `${prefix}>`, from, PAGE),
    );
    const bytes = messages.reduce((sum, { data }) => sum + data.length, 0);
    return {
      found: messages.flatMap(({ subject, sequence, data, storedAt }) => {
        return this.#decode(subject.slice(prefix.length), data, sequence, storedAt) ?? [];
      }),
      last: messages.at(-1)?.sequence,
      complete: messages.length < PAGE && bytes < PAGE_BYTES,
    };
  }

  /** Tells everything that is stored from now on; a message that is no record has none. What is missed while there is no connection stays missed. */
  follow(listener: (sequence: number, found: StoredState | undefined) => void): () => void {
    const { link, subjects } = this.#runtime;
    const prefix = subjects.stateStored(this.#contract.name, "");
    const subscription = link.subscribe(`${prefix}>`, (data, subject, _reply, headers) => {
      const sequence = Number(headers?.last("Nats-Sequence"));
      if (!(sequence > 0)) return;
      const storedAt = Date.parse(headers!.last("Nats-Time-Stamp"));
      listener(sequence, this.#decode(subject.slice(prefix.length), data, sequence, storedAt));
    });
    return () => subscription.unsubscribe();
  }

  connectionLost(): void {
    this.#writing.connectionLost();
    this.#reading.connectionLost();
  }

  close(): void {
    this.#writing.close();
    this.#reading.close();
  }

  #decode(
    part: string,
    data: Uint8Array,
    revision: number,
    storedAt: number,
  ): StoredState | undefined {
    if (part === BARRIER) return undefined;
    try {
      return { record: decodeState(data), revision, storedAt };
    } catch (error) {
      this.#runtime.metrics.badMessages.with({ code: "BAD_MESSAGE" }).value++;
      this.#runtime.log.debug({ err: error, part }, "unreadable record of a state");
      return undefined;
    }
  }

  #lifetime({ value, ttlMs }: StateRecord): Record<string, string> {
    if (this.#contract.storage === "file") return {};
    if (value === undefined) return { "Nats-TTL": `${REMOVED_TTL_S}s` };
    return ttlMs === 0 ? {} : { "Nats-TTL": `${Math.max(1, Math.ceil(ttlMs / 1_000))}s` };
  }

  #subject(key: string): string {
    if (typeof key === "string" && key !== "") {
      return this.#runtime.subjects.state(this.#contract.name, KEYS + escapeKey(key));
    }
    throw new MeshError("INVALID_INPUT", `State ${this.#contract.name}: a key is a text.`);
  }

  async #make(): Promise<void> {
    this.#streams.demandJetStream();
    const { subjects } = this.#runtime;
    const { name, storage } = this.#contract;
    const own = subjects.state(name, ">");
    const inMemory = storage === "memory";
    const made = await this.#streams.make({
      name: this.#stream,
      description: `Plexus: shared state ${name}`,
      subjects: [own],
      retention: RetentionPolicy.Limits,
      storage: inMemory ? StorageType.Memory : StorageType.File,
      max_msgs_per_subject: 1,
      discard: inMemory ? DiscardPolicy.Old : DiscardPolicy.New,
      allow_direct: true, // whoever answers is believed as far as a barrier shows how much it knows
      // Revisions rise even when the broker has lost the stream, and somebody makes it again.
      first_seq: Date.now(),
      republish: { src: own, dest: subjects.stateStored(name, ">") },
      ...(inMemory ? { allow_msg_ttl: true } : { deny_delete: true, deny_purge: true }),
    });
    if (!made) await this.#demandStorage();
  }

  /** It was made before, perhaps by somebody who had declared it otherwise. */
  async #demandStorage(): Promise<void> {
    const { name, storage } = this.#contract;
    const found = (await this.#streams.info(this.#stream))?.config.storage;
    if (found === undefined || (found === StorageType.Memory) === (storage === "memory")) return;
    throw new MeshError(
      "INVALID_CONTRACT",
      `State ${name} is declared with storage ${storage}, but exists in this mesh with the other one.`,
    );
  }
}
