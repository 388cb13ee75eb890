import type { ShardLease, SeenLease, WriteOutcome } from "@plexus/core";
import { Violation } from "./violation.ts";

/** The key-value bucket of leases: linearizable compare-and-set, revisions from one sequence, watchers. */
export class LeaseStore {
  readonly #leases = new Map<number, SeenLease>();
  readonly #epochs = new Map<number, number>();
  readonly #watchers = new Set<(lease: SeenLease) => void>();
  #revision = 0;

  /** @param record what to write, given the revision that the write gets */
  write(
    partition: number,
    expectedRevision: number,
    record: (revision: number) => ShardLease,
  ): WriteOutcome {
    const current = this.#leases.get(partition);
    if ((current?.revision ?? 0) !== expectedRevision) return { type: "conflict" };
    const revision = ++this.#revision;
    const lease = { partition, revision, record: record(revision) };
    const epoch = this.#epochs.get(partition) ?? 0;
    if (lease.record.epoch < epoch) {
      throw new Violation(`the epoch of partition ${partition} falls to ${lease.record.epoch}`);
    }
    this.#epochs.set(partition, lease.record.epoch);
    this.#leases.set(partition, lease);
    for (const watcher of this.#watchers) watcher(lease);
    return { type: "written", revision };
  }

  snapshot(): SeenLease[] {
    return [...this.#leases.values()];
  }

  get(partition: number): ShardLease | undefined {
    return this.#leases.get(partition)?.record;
  }

  watch(watcher: (lease: SeenLease) => void): () => void {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }
}
