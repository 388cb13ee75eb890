import { setTimeout as sleep } from "node:timers/promises";
import { MeshError, isMeshError, type Duration } from "@plexus/core";
import { nowMs } from "./clock.ts";
import {
  FREE,
  LETTING_GO_MS,
  decodeRecord,
  encodeRecord,
  writeTimeoutMs,
  type LeaseRecord,
} from "./lease-record.ts";
import type { Logger } from "./log.ts";
import type { LeaseStore } from "./nats/lease-store.ts";

/** Options of `mesh.lease()`. */
export interface LeaseOptions {
  /** How long the lease outlives its last renewal, 500 ms to 1 day. Default 10 s. It is renewed at a third of that. */
  readonly ttl?: Duration;
  /** How long to wait for it. 0: try once. Default 30 s. */
  readonly wait?: Duration;
  /** Gives up waiting. */
  readonly signal?: AbortSignal;
}

/** A lease that this process has acquired; disposing releases it. */
export interface Lease extends AsyncDisposable {
  readonly name: string;
  /**
   * The fencing token: higher than that of everybody who held any lease of this mesh before. Whatever the lease protects
   * should refuse tokens lower than the highest it has seen.
   */
  readonly token: number;
  /** Whether the lease is held at this moment, by this process's own clock. Nobody else acquires it while this is true. */
  readonly held: boolean;
  /** Fires when the lease is lost (`FENCED`) or released (`CANCELED`). */
  readonly signal: AbortSignal;
  /** Lets the next one have it at once. Never rejects: a record that cannot be removed expires. */
  release(): Promise<void>;
}

/** How holding a lease ended. */
export type LeaseEnd = "released" | "lost";

/** What a lease needs of the connection that acquired it. */
export interface LeaseHome {
  readonly store: LeaseStore;
  readonly log: Logger;
  /** The lease is not held any more. */
  ended(lease: HeldLease, how: LeaseEnd): void;
}

/** The write that acquired a lease. */
export interface Acquisition {
  readonly name: string;
  readonly key: string;
  readonly record: LeaseRecord;
  readonly revision: number;
  /** Before it was sent, by the own clock. */
  readonly sentMs: number;
}

const RETRY_MS = 100;

/** Renews a lease, and knows when to stop believing in it. */
export class HeldLease implements Lease {
  readonly name: string;
  readonly token: number;
  readonly #home: LeaseHome;
  readonly #key: string;
  readonly #record: LeaseRecord;
  readonly #ended = new AbortController();
  #state: { kind: "held"; untilMs: number } | { kind: LeaseEnd };
  #revision: number;
  #renewing: Promise<void> = Promise.resolve();
  #renewal: NodeJS.Timeout | undefined;
  #expiry: NodeJS.Timeout | undefined;

  constructor(home: LeaseHome, { name, key, record, revision, sentMs }: Acquisition) {
    this.name = name;
    this.token = revision;
    this.#home = home;
    this.#key = key;
    this.#record = { ...record, token: revision };
    this.#revision = revision;
    // The others count from when they saw the record, which was later than it was sent: they wait for longer.
    this.#state = { kind: "held", untilMs: sentMs + record.ttlMs };
    this.#awaitExpiry();
    this.#renewAt(sentMs + record.ttlMs / 3);
  }

  get held(): boolean {
    return this.#state.kind === "held" && nowMs() < this.#state.untilMs;
  }

  get signal(): AbortSignal {
    return this.#ended.signal;
  }

  async release(): Promise<void> {
    if (this.abandon()) await this.#letGo();
  }

  /** Stops renewing; nobody gets the lease before it expires. False: it had ended already. */
  abandon(): boolean {
    return this.#end("released", new MeshError("CANCELED", `Lease ${this.name} was released.`));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }

  #renewAt(dueMs: number): void {
    this.#renewal = after(dueMs - nowMs(), () => {
      this.#renewing = this.#renew();
    });
  }

  async #renew(): Promise<void> {
    if (!this.#checkTime()) return;
    const { ttlMs } = this.#record;
    const sentMs = nowMs();
    let dueMs = sentMs + RETRY_MS;
    try {
      const record = encodeRecord(this.#record);
      const timeoutMs = writeTimeoutMs(ttlMs);
      this.#revision = await this.#home.store.write(this.#key, record, this.#revision, timeoutMs);
      if (!this.#checkTime()) return; // who was told that it is over must not be told otherwise
      this.#state = { kind: "held", untilMs: sentMs + ttlMs };
      dueMs = sentMs + ttlMs / 3;
    } catch (error) {
      this.#home.log.debug({ err: error, lease: this.name }, "lease not renewed, trying again");
      if (isMeshError(error, "CONFLICT")) await this.#whoHasIt();
    }
    if (this.#state.kind !== "held") return;
    this.#awaitExpiry();
    this.#renewAt(dueMs);
  }

  /**
   * A renewal was refused. Either an earlier one, thought lost, had arrived: then the next one replaces that. Or somebody else
   * holds the lease. Only a renewal that is acknowledged extends the time.
   */
  async #whoHasIt(): Promise<void> {
    const found = await this.#home.store.read(this.#key).catch(() => "unknown" as const);
    if (found === "unknown") return;
    const record = found && decodeRecord(found.value);
    if (found && record?.nonce === this.#record.nonce) this.#revision = found.revision;
    else if (found && found.revision < this.#revision) return; // from a broker that is behind
    else if (record) this.#lose(`${record.holder} holds it now`);
    else this.#lose("somebody removed its record");
  }

  #awaitExpiry(): void {
    if (this.#state.kind !== "held") return;
    clearTimeout(this.#expiry);
    this.#expiry = after(this.#state.untilMs - nowMs(), () => {
      if (this.#checkTime()) this.#awaitExpiry(); // timers may be a fraction of a ms early
    });
  }

  /** False: the time is up. */
  #checkTime(): boolean {
    if (this.held) return true;
    if (this.#state.kind !== "held") return false;
    this.#lose(`it was not renewed within ${this.#record.ttlMs} ms`);
    void this.#letGo(); // after a pause of this process it may still be there, and nobody needs to wait for that
    return false;
  }

  #lose(why: string): void {
    const reason = new MeshError("FENCED", `Lease ${this.name} was lost: ${why}.`, {
      details: { token: this.token },
    });
    if (this.#end("lost", reason))
      this.#home.log.warn({ lease: this.name, token: this.token }, reason.message);
  }

  #end(how: LeaseEnd, reason: MeshError): boolean {
    if (this.#state.kind !== "held") return false;
    this.#state = { kind: how };
    clearTimeout(this.#renewal);
    clearTimeout(this.#expiry);
    this.#home.ended(this, how);
    this.#ended.abort(reason);
    return true;
  }

  /** Replaces the own record by none, if it still stands. */
  async #letGo(): Promise<void> {
    const untilMs = nowMs() + LETTING_GO_MS;
    await this.#renewing; // which may change the revision
    while (!(await this.#tryToLetGo()) && nowMs() < untilMs) await sleep(RETRY_MS);
  }

  async #tryToLetGo(): Promise<boolean> {
    const { store, log } = this.#home;
    try {
      await store.write(this.#key, FREE, this.#revision, writeTimeoutMs(this.#record.ttlMs));
      return true;
    } catch (error) {
      log.debug({ err: error, lease: this.name }, "lease not released yet");
      if (!isMeshError(error, "CONFLICT")) return false;
    }
    const found = await store.read(this.#key).catch(() => "unknown" as const);
    if (found === "unknown") return false;
    if (found === undefined || decodeRecord(found.value)?.nonce !== this.#record.nonce) return true;
    this.#revision = found.revision; // a renewal had arrived whose answer had not
    return false;
  }
}

/** A timer whose time may have passed already. */
function after(ms: number, then: () => void): NodeJS.Timeout {
  return setTimeout(then, Math.max(ms, 0));
}
