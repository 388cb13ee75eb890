import { setTimeout as sleep } from "node:timers/promises";
import {
  DiscardPolicy,
  JetStreamApiCodes,
  JetStreamApiError,
  RetentionPolicy,
  StorageType,
  jetstream,
  type JetStreamClient,
  type JetStreamManager,
} from "@nats-io/jetstream";
import { headers } from "@nats-io/transport-node";
import { MeshError } from "@plexus/core";
import { nowMs } from "../clock.ts";
import type { Link } from "./link.ts";

/** What stands under a key, and the stream sequence of the write that put it there. */
export interface LeaseEntry {
  readonly revision: number;
  readonly value: Uint8Array;
  /** When it was stored, by the broker's clock: milliseconds since the epoch. Of what was read only. */
  readonly storedAt?: number;
}

const API_TIMEOUT_MS = 5_000;
const READ_TIMEOUT_MS = 1_000; // whoever reads has a clock running, and reads again
const APPEARING_MS = 50;
const NAME_TAKEN = 10_058;
const WRONG_REVISION = new Set<number>([
  JetStreamApiCodes.StreamWrongLastSequence,
  JetStreamApiCodes.StreamWrongLastSequenceUnknown,
]);

/**
 * The bucket of the leases: on disk, one record per key, no time to live. Every write names the revision that it replaces, so
 * of those who want the same key at the same time one succeeds. The broker publishes each write that it has accepted
 * once more, on a subject of the key: whoever waits for a key hears of it without a consumer on the broker.
 */
export class LeaseStore {
  readonly #link: Link;
  readonly #bucket: string;
  readonly #told: string;
  readonly #js: JetStreamClient;
  #ready: Promise<JetStreamManager> | undefined;

  constructor(link: Link, mesh: string) {
    this.#link = link;
    this.#bucket = `${mesh}-leases`;
    this.#told = `${mesh}.lease`;
    this.#js = jetstream(link.connection, { timeout: API_TIMEOUT_MS });
  }

  /** True if a subscription is known to some brokers a moment later than to others. */
  get clustered(): boolean {
    return this.#link.clustered;
  }

  /** Asks the leader of the bucket, not a replica. Undefined: the key was never written. */
  async read(key: string): Promise<LeaseEntry | undefined> {
    try {
      const { streams } = await this.#open();
      const found = await streams.getMessage(`KV_${this.#bucket}`, {
        last_by_subj: this.#subject(key),
      });
      if (found === null) return undefined;
      return { revision: found.seq, value: found.data, storedAt: found.time.getTime() };
    } catch (cause) {
      throw this.#failure(`Lease record ${key} cannot be read`, cause);
    }
  }

  /**
   * Writes a record if `revision` is what stands there now; 0 for a key that was never written. Throws `CONFLICT` when it is
   * not. After `NOT_CONNECTED` it may be written all the same, now or later.
   * @param value nothing: the record of a lease that nobody holds
   * @returns the new revision
   */
  async write(
    key: string,
    value: Uint8Array,
    revision: number,
    timeoutMs: number,
  ): Promise<number> {
    const own = headers();
    own.set("Nats-Expected-Last-Subject-Sequence", String(revision));
    if (value.length === 0) own.set("KV-Operation", "DEL"); // so that tools for buckets do not list it
    try {
      await this.#open();
      const options = { headers: own, timeout: timeoutMs };
      return (await this.#js.publish(this.#subject(key), value, options)).seq;
    } catch (cause) {
      throw this.#failure(`Lease record ${key} cannot be written`, cause);
    }
  }

  /** The keys below a prefix that were ever written; `a` for `a.1` and `a.2`. */
  async keys(prefix: string): Promise<string[]> {
    try {
      const { streams } = await this.#open();
      const options = { subjects_filter: this.#subject(`${prefix}.>`) };
      const { state } = await streams.info(`KV_${this.#bucket}`, options);
      return Object.keys(state.subjects ?? {}).map((subject) =>
        subject.slice(this.#subject("").length),
      );
    } catch (cause) {
      throw this.#failure(`Lease records below ${prefix} cannot be listed`, cause);
    }
  }

  /**
   * Tells every write of a key from now on, as far as this connection hears of it: what is missed while it is broken stays
   * missed.
   * @param key may end in a wildcard
   * @returns ends it
   */
  follow(key: string, listener: (entry: LeaseEntry, key: string) => void): () => void {
    const subscription = this.#link.subscribe(
      `${this.#told}.${key}`,
      (value, subject, _reply, added) => {
        const revision = Number(added?.last("Nats-Sequence"));
        if (revision > 0) listener({ revision, value }, subject.slice(this.#told.length + 1));
      },
    );
    return () => subscription.unsubscribe();
  }

  /** Makes sure, once, that the bucket exists; again after anything has failed. */
  #open(): Promise<JetStreamManager> {
    if (!this.#link.connected) throw new Error("there is no connection");
    return (this.#ready ??= this.#prepare());
  }

  async #prepare(): Promise<JetStreamManager> {
    const reading = jetstream(this.#link.connection, { timeout: READ_TIMEOUT_MS });
    const manager = await this.#js.jetstreamManager(false);
    if (!(await this.#exists(manager))) await this.#create(manager, this.#link.clustered ? 3 : 1);
    return reading.jetstreamManager(false);
  }

  async #exists(manager: JetStreamManager): Promise<boolean> {
    try {
      await manager.streams.info(`KV_${this.#bucket}`);
      return true;
    } catch (error) {
      if (error instanceof JetStreamApiError && error.status === 404) return false;
      throw error;
    }
  }

  /** Whether the bucket is there, or will be in a moment: a cluster refuses to make it twice before it can tell of it. */
  async #appears(manager: JetStreamManager, refused: unknown): Promise<boolean> {
    const taken = refused instanceof JetStreamApiError && refused.code === NAME_TAKEN;
    const untilMs = nowMs() + (taken ? API_TIMEOUT_MS : 0);
    for (;;) {
      if (await this.#exists(manager)) return true;
      if (nowMs() >= untilMs) return false;
      await sleep(APPEARING_MS);
    }
  }

  /** In a cluster the bucket has three replicas, so that it survives any one node; a smaller cluster gets one. */
  async #create(manager: JetStreamManager, replicas: number): Promise<void> {
    const subjects = `$KV.${this.#bucket}.>`;
    try {
      await manager.streams.add({
        name: `KV_${this.#bucket}`,
        description: "Plexus leases: who holds what. Sequences are fencing tokens.",
        subjects: [subjects],
        retention: RetentionPolicy.Limits,
        storage: StorageType.File,
        num_replicas: replicas,
        max_msgs_per_subject: 1,
        discard: DiscardPolicy.New,
        allow_direct: false, // a replica may be behind
        deny_delete: true, // removals that meet a write stop all writes on nats-server 2.14.0 to 2.14.4
        deny_purge: true,
        republish: { src: subjects, dest: `${this.#told}.>` },
        // Whoever lost the broker's disk, and so the bucket, must not see the tokens begin at 1 again. The clock is far
        // ahead of any sequence: that would take a thousand writes a second all the time.
        first_seq: Date.now(),
      });
    } catch (error) {
      if (await this.#appears(manager, error)) return; // another process was faster
      if (replicas === 1 || !(error instanceof JetStreamApiError)) throw error;
      await this.#create(manager, 1);
    }
  }

  #subject(key: string): string {
    return `$KV.${this.#bucket}.${key}`;
  }

  #failure(what: string, cause: unknown): MeshError {
    const why = cause instanceof Error ? cause.message : String(cause);
    const refused = cause instanceof JetStreamApiError;
    if (refused && WRONG_REVISION.has(cause.code)) {
      return new MeshError("CONFLICT", `${what}: ${why}.`, { cause });
    }
    this.#ready = undefined;
    const incompatible = refused && cause.status >= 400 && cause.status < 404;
    return new MeshError(
      incompatible ? "INCOMPATIBLE_BROKER" : "NOT_CONNECTED",
      `${what} in bucket ${this.#bucket}: ${why}.`,
      { cause },
    );
  }
}
