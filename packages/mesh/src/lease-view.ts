import { setTimeout as sleep } from "node:timers/promises";
import { nowMs } from "./clock.ts";
import { decodeRecord, marginMs, type Leader, type LeaseRecord } from "./lease-record.ts";
import type { LeaseStore } from "./nats/lease-store.ts";

const RETRY_MS = 100;
const INTEREST_MS = 250; // until every broker of a cluster knows of a subscription

/**
 * What this process has seen of one lease, and since when by its own clock. A lease may be taken over from a holder that has
 * written nothing for its ttl and a margin: nobody's wall clock is compared with anybody else's.
 */
export class LeaseView {
  readonly key: string;
  /** Why the lease could not be read, the last time that was tried; undefined if it could. */
  failure: unknown;
  readonly #store: LeaseStore;
  readonly #listeners = new Set<() => void>();
  #revision: number | undefined;
  #record: LeaseRecord | undefined;
  #seenMs = 0;
  #unfollow: (() => void) | undefined;
  #expiry: NodeJS.Timeout | undefined;

  /** @param key in the bucket; leases that users name have an escaped one */
  constructor(store: LeaseStore, key: string) {
    this.#store = store;
    this.key = key;
  }

  /** Revision of what was seen last; 0 if nothing was ever written; undefined until the lease has been read. */
  get revision(): number | undefined {
    return this.#revision;
  }

  /** What was seen last; undefined also if nobody holds the lease. */
  get record(): LeaseRecord | undefined {
    return this.#record;
  }

  get watched(): boolean {
    return this.#listeners.size > 0;
  }

  /** Who holds the lease and has written in time. */
  get holder(): Leader | undefined {
    const record = this.#record;
    if (record === undefined || this.freeInMs() <= 0) return undefined;
    return { holder: record.holder, name: record.name, token: record.token ?? this.#revision! };
  }

  /** After how many ms without a word from the holder the lease may be taken over. 0: now. */
  freeInMs(): number {
    if (this.#revision === undefined) return Infinity;
    if (this.#record === undefined) return 0;
    const { ttlMs } = this.#record;
    return Math.max(0, this.#seenMs + ttlMs + marginMs(ttlMs) - nowMs());
  }

  /**
   * Calls `listener` when something was written, when the time of the holder is up, and when the lease could not be read.
   * It must not throw.
   * @returns ends it
   */
  watch(listener: () => void): () => void {
    this.#listeners.add(listener);
    if (this.#unfollow === undefined) {
      this.failure = undefined; // of an earlier time
      this.#unfollow = this.#store.follow(this.key, ({ revision, value }) => {
        if (revision > (this.#revision ?? 0)) this.note(revision, decodeRecord(value));
      });
      void this.catchUp();
    }
    this.#awaitExpiry();
    return () => {
      this.#listeners.delete(listener);
      if (this.watched) return;
      this.#unfollow?.();
      this.#unfollow = undefined;
      clearTimeout(this.#expiry);
    };
  }

  /** Reads what may have been missed, until that succeeds. */
  async catchUp(): Promise<void> {
    while (this.watched && !(await this.#tryToRefresh())) await sleep(RETRY_MS);
    if (!this.#store.clustered) return;
    await sleep(INTEREST_MS);
    if (this.watched) await this.#tryToRefresh();
  }

  /** Reads what stands there now. */
  async refresh(): Promise<void> {
    const before = this.#revision;
    const entry = await this.#store.read(this.key);
    this.failure = undefined;
    const revision = entry?.revision ?? 0;
    // What was heard while the answer was on its way may be newer. Otherwise the answer counts, even if the revision is
    // lower: then somebody has made the bucket again.
    if (this.#revision !== before && revision < this.#revision!) return;
    this.note(revision, entry && decodeRecord(entry.value));
  }

  /** Takes note of a record that stands, or has just stood, in the bucket. */
  note(revision: number, record: LeaseRecord | undefined): void {
    if (revision === this.#revision) return;
    this.#revision = revision;
    this.#record = record;
    this.#seenMs = nowMs();
    this.#awaitExpiry();
    this.#tell();
  }

  async #tryToRefresh(): Promise<boolean> {
    try {
      await this.refresh();
      return true;
    } catch (error) {
      this.failure = error;
      this.#tell();
      return false;
    }
  }

  #awaitExpiry(): void {
    clearTimeout(this.#expiry);
    if (!this.watched || this.#record === undefined) return;
    this.#expiry = setTimeout(() => {
      if (this.freeInMs() > 0) this.#awaitExpiry(); // timers may be a fraction of a ms early
      else this.#tell();
    }, this.freeInMs());
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}
