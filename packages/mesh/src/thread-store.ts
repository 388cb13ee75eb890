import {
  partitionOf,
  unescapeKey,
  type Checkpointer,
  type Entity,
  type OwnedThread,
  type ReadRange,
  type StoredThread,
  type ThreadState,
} from "@plexus/core";
import { nowMs } from "./clock.ts";
import type { EntityServices } from "./entity-services.ts";
import { moved } from "./partition-log.ts";
import type { PartitionTable, ThreadPartition } from "./thread-partition.ts";
import { readStored } from "./thread-reading.ts";
import { maxPartBytes, readThreadMessage, recordsPlace, snapshotsPlace } from "./thread-record.ts";
import type { LastMessages } from "./thread-writer.ts";

/** A thread, as its last record tells. */
export interface ThreadSummary {
  readonly thread: string;
  /** `over`, too, for a thread of which nothing but a snapshot is recorded. */
  readonly state: ThreadState;
  /** Records. */
  readonly position: number;
  /** When the last one was stored, by the broker's clock: ms since the epoch. */
  readonly at: number;
}

const PATIENCE_MS = 30_000;
const SUBJECTS = 256; // whose last messages are asked for at once

/** The threads of a graph: those of the partitions that this process owns can be executed, the others be read. */
export class ThreadStore implements Checkpointer, PartitionTable {
  readonly wakes = true;
  readonly #services: EntityServices;
  readonly #contract: Entity;
  readonly #partitions = new Map<number, ThreadPartition>();

  constructor(services: EntityServices, contract: Entity) {
    this.#services = services;
    this.#contract = contract;
  }

  get maxPartBytes(): number {
    return maxPartBytes(this.#services.runtime.link.maxPayload);
  }

  add(partition: ThreadPartition): void {
    this.#partitions.set(partition.partition, partition);
  }

  remove(partition: ThreadPartition): void {
    if (this.#partitions.get(partition.partition) === partition) {
      this.#partitions.delete(partition.partition);
    }
  }

  /** Rejects with `FENCED` for a thread of a partition that this process does not own. */
  async own(
    thread: string,
    { signal }: { readonly signal?: AbortSignal } = {},
  ): Promise<OwnedThread> {
    const { name: entity, partitions } = this.#contract;
    const partition = partitionOf(thread, partitions);
    const here = this.#partitions.get(partition);
    if (here === undefined) throw moved({ entity, partition });
    return here.own(thread, signal);
  }

  async read(thread: string, range: ReadRange = {}): Promise<StoredThread> {
    const { js, store } = this.#services;
    const [lastRecord, lastSnapshot] = await this.#last(thread);
    if (lastRecord === undefined && lastSnapshot === undefined) {
      return { snapshot: undefined, records: [] };
    }
    return readStored(
      {
        js,
        stream: store.journal,
        records: this.#subject(thread, recordsPlace(thread)),
        snapshots: this.#subject(thread, snapshotsPlace(thread)),
        lastRecord,
        lastSnapshot,
        ask: (request) => this.#ask(request),
      },
      range,
    );
  }

  async *list(): AsyncIterable<string> {
    for await (const { thread } of this.summaries()) yield thread;
  }

  /** How all threads stand, in no particular order. */
  async *summaries(): AsyncGenerator<ThreadSummary> {
    const { js, store, runtime } = this.#services;
    await this.#ask(() => store.open());
    const subjects = await this.#ask(() =>
      js.subjects(store.journal, `${runtime.subjects.logOf(this.#contract.name).slice(0, -1)}>`),
    );
    const tokens = new Map<string, string>(); // of a thread: a subject of its records, if there are any
    for (const subject of subjects) {
      const [, , , , token = "", kind] = subject.split(".");
      if (token === "=e" || token === "=o") continue;
      if (kind === undefined || !tokens.has(token)) tokens.set(token, subject);
    }
    const all = [...tokens.values()];
    for (let from = 0; from < all.length; from += SUBJECTS) {
      const some = all.slice(from, from + SUBJECTS);
      const last = await this.#ask(() => js.lastOf(store.journal, some));
      for (const message of last) {
        const token = message.subject.split(".")[4]!;
        const at = message.storedAt;
        if (message.subject.endsWith(".s")) {
          const thread = unescapeKey(token) ?? token;
          yield { thread, state: "over", position: 0, at };
        } else {
          const { thread, state, end, base } = readThreadMessage(message);
          yield { thread, state, position: end || base, at };
        }
      }
    }
  }

  /** The last messages of a thread: from its owner's point of view if that is this process, from the broker's otherwise. */
  async #last(thread: string): Promise<LastMessages> {
    const here = this.#partitions.get(partitionOf(thread, this.#contract.partitions));
    if (here !== undefined) return here.last(thread);
    const { js, store } = this.#services;
    await this.#ask(() => store.open());
    const last = (place: string) =>
      this.#ask(() => js.last(store.journal, this.#subject(thread, place)));
    return [await last(recordsPlace(thread)), await last(snapshotsPlace(thread))];
  }

  #subject(thread: string, place: string): string {
    const { name, partitions } = this.#contract;
    const { subjects } = this.#services.runtime;
    return subjects.log(name, partitionOf(thread, partitions), place);
  }

  #ask<T>(request: () => Promise<T>): Promise<T> {
    return this.#services.surely(request, undefined, nowMs() + PATIENCE_MS);
  }
}
