import { setTimeout as sleep } from "node:timers/promises";
import {
  MeshError,
  decodePayload,
  encodePayload,
  escapeKey,
  type Entity,
  type RecordedEvent,
} from "@plexus/core";
import { nowMs } from "./clock.ts";
import { foldRecorded, readCommand, type CommandRecord } from "./entity-record.ts";
import type { EntityServices } from "./entity-services.ts";
import { MAX_SINCE_FENCE, type PartitionLog } from "./partition-log.ts";
import { readTrail } from "./trail.ts";

/** The fold of a key up to one of its records. */
interface Snapshot {
  /** Contracts of another version fold in another way. */
  readonly contract: string;
  readonly version: number;
  readonly state: unknown;
  readonly remembered: readonly (readonly [id: string, sequence: number])[];
}

const BATCH = 256;
/**
 * Records between snapshots, which is what an activation reads, or up to twice as many: keys that are busy together are not to take theirs
 * together. More if these are large, as each record pays for its share.
 */
const SNAPSHOT_EVERY = { least: 64, most: 256, bytesPerRecord: 1_024 };
/** Commands of a key whose ids are good for a repetition; beyond, as many more as a new owner may meet once more. */
const REMEMBERED = 1_000 + MAX_SINCE_FENCE;
const LAG_MS = 20; // before a replica that is behind is asked again
const MAX_LAGS = 100;
const nothing = (): void => undefined;

/** One key in the memory of its owner: its state, and which commands made it so. */
export class ActiveKey {
  readonly key: string;
  readonly token: string;
  state: unknown;
  /** Sequence of the key's last record; 0: nothing was ever recorded. */
  version = 0;
  /** Commands of this key that run or wait. */
  pending = 0;
  usedMs = nowMs();
  /** Where this key's records go. */
  readonly log: PartitionLog;
  /** Rejects if the state cannot be told. Then nothing of this key can be executed, and it has to be loaded anew. */
  readonly loaded: Promise<void>;
  /** Sequence of the record of each of the last commands. */
  readonly #remembered = new Map<string, number>();
  readonly #services: EntityServices;
  readonly #contract: Entity;
  readonly #partition: number;
  #records = 0; // since the last snapshot
  #snapshotAt = spread(SNAPSHOT_EVERY.least); // records
  #turn: Promise<void> = Promise.resolve();

  constructor(
    services: EntityServices,
    contract: Entity,
    log: PartitionLog,
    partition: number,
    key: string,
  ) {
    this.#services = services;
    this.#contract = contract;
    this.log = log;
    this.#partition = partition;
    this.key = key;
    this.token = escapeKey(key);
    this.state = contract.initial(key);
    this.loaded = this.#load();
    this.loaded.catch(nothing); // whoever comes in turn meets it
  }

  /** How many of its commands this key remembers. */
  get remembered(): number {
    return this.#remembered.size;
  }

  /** Runs `work` when everything before it has ended; rejects if the key could not be loaded. */
  async inTurn<T>(work: () => Promise<T>): Promise<T> {
    this.pending++;
    const result = this.#turn.then(() => this.loaded).then(work);
    this.#turn = result.then(nothing, nothing);
    try {
      return await result;
    } finally {
      this.pending--;
      this.usedMs = nowMs();
    }
  }

  /** Whether a command is among the last ones that were recorded. */
  remembers(id: string): boolean {
    return this.#remembered.has(id);
  }

  /** The record of a command that is remembered. Rejects with `NO_TASK` if the journal has lost it. */
  async recorded(id: string): Promise<CommandRecord> {
    const sequence = this.#remembered.get(id)!;
    const { js, store } = this.#services;
    for (let lags = 0; lags < MAX_LAGS; lags++) {
      // Again only if who answers is behind.
      const found = await this.log.surely(() => js.next(store.journal, this.#subject, sequence));
      if (found?.sequence === sequence) return readCommand(found.data);
      if (found) break;
      await sleep(LAG_MS);
    }
    const text = `Command ${id} of ${this.#contract.name} ${this.key} was executed, but its record is gone.`;
    throw new MeshError("NO_TASK", text);
  }

  /** A command has been recorded, and the state is this one now. */
  advance(id: string, sequence: number, state: unknown): void {
    this.state = state;
    this.version = sequence;
    this.#remember(id, sequence);
    if (++this.#records >= this.#snapshotAt) this.#takeSnapshot();
  }

  /** The state after an event that happens now, and how it is recorded. Throws `INVALID_INPUT` if it is not of its schema. */
  apply(state: unknown, name: string, data: unknown): { state: unknown; event: RecordedEvent } {
    const { types, fold } = this.#contract;
    const event = types.record(name, data, true);
    return { state: fold[name]!(state, event[1]), event };
  }

  get #subject(): string {
    return this.log.subject(this.token);
  }

  get #snapshotSubject(): string {
    const { subjects } = this.#services.runtime;
    return subjects.snapshot(this.#contract.name, this.#partition, this.token);
  }

  async #load(): Promise<void> {
    const { js, store } = this.#services;
    await this.log.settled(); // nothing is to be recorded of this key that it does not meet
    const [last, snapshot] = await Promise.all([
      this.log.last(this.token),
      this.log.surely(() => js.last(store.snapshots, this.#snapshotSubject)),
    ]);
    if (last === undefined) return;
    if (snapshot) this.#restore(snapshot.data);
    const ask = <T>(request: () => Promise<T>): Promise<T> => this.log.surely(request);
    const source = { js, stream: store.journal, subject: this.#subject, ask };
    const trail = await readTrail(source, last, this.version, ({ data }) => readCommand(data));
    for (const { sequence, record } of trail) this.#replay(sequence, record);
    while (this.version < last.sequence) {
      this.log.demand();
      const from = this.version + 1;
      // Each batch begins where the one before ended.
      const records = await ask(() => js.batch(store.journal, this.#subject, from, BATCH));
      for (const { sequence, data } of records) this.#replay(sequence, readCommand(data));
      if (records.length === 0) await sleep(LAG_MS);
    }
  }

  #replay(sequence: number, { id, events }: CommandRecord): void {
    this.state = foldRecorded(this.#contract, this.state, events);
    this.version = sequence;
    this.#records++;
    this.#remember(id, sequence);
  }

  #remember(id: string, sequence: number): void {
    this.#remembered.delete(id);
    this.#remembered.set(id, sequence);
    if (this.#remembered.size <= REMEMBERED) return;
    for (const oldest of this.#remembered.keys()) {
      this.#remembered.delete(oldest);
      return;
    }
  }

  #restore(data: Uint8Array): void {
    try {
      const snapshot = decodePayload(data) as Snapshot;
      const state = this.#contract.state.safeParse(snapshot.state);
      if (snapshot.contract !== this.#contract.version || !state.success) return;
      this.state = state.data;
      this.version = snapshot.version;
      for (const [id, sequence] of snapshot.remembered) this.#remembered.set(id, sequence);
    } catch (error) {
      const { log } = this.#services.runtime;
      log.warn({ err: error, key: this.key }, "unreadable snapshot ignored");
    }
  }

  /** A snapshot only saves time, so nobody waits for it, and one that fails is taken later. */
  #takeSnapshot(): void {
    const { js, runtime } = this.#services;
    this.#records = 0;
    const { version, state } = this;
    const remembered = [...this.#remembered];
    try {
      const snapshot: Snapshot = { contract: this.#contract.version, version, state, remembered };
      const bytes = Buffer.from(encodePayload(snapshot));
      const { least, most, bytesPerRecord } = SNAPSHOT_EVERY;
      this.#snapshotAt = spread(Math.min(most, Math.max(least, bytes.length / bytesPerRecord)));
      js.publish(this.#snapshotSubject, bytes).catch((error: unknown) =>
        runtime.log.debug({ err: error, key: this.key }, "no snapshot taken"),
      );
    } catch (error) {
      runtime.log.debug({ err: error, key: this.key }, "the state of this key cannot be stored");
    }
  }
}

function spread(records: number): number {
  return records * (1 + Math.random());
}
