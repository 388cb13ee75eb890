import { MeshError, toMs, type Duration } from "@plexus/core";
import type { Bucket } from "./bucket.ts";
import { nowMs } from "./clock.ts";
import type { Lease } from "./lease.ts";
import { decodeRecord, marginMs } from "./lease-record.ts";
import { LOCKS, type Leases } from "./leases.ts";
import { LockPlace, lockWaiters, type LockWaiter } from "./lock-queue.ts";
import { Patience } from "./patience.ts";
import { notObtained } from "./pursuit.ts";
import { newId, type Runtime } from "./runtime.ts";

/** Options of `mesh.lock()`. */
export interface LockOptions {
  /** What for, in words: those who wait, and `plexus locks`, see it. */
  readonly intent: string;
  /** How long to wait in the queue. 0: try once. Default 30 s. */
  readonly wait?: Duration;
  /** How long the lock outlives its holder, 500 ms to 1 day. Default 10 s. */
  readonly ttl?: Duration;
  /** Gives up waiting. */
  readonly signal?: AbortSignal;
}

/** A lock that this process holds; disposing releases it. `token` is what `fence` of a shared state's writes takes. */
export interface Lock extends Lease {
  readonly intent: string;
}

/** A lock that somebody holds or waits for, for who looks on. */
export interface LockInfo {
  readonly name: string;
  /** Undefined: nobody holds it at this moment. */
  readonly holder: (LockWaiter & { readonly token: number }) | undefined;
  /** In the order in which they get it. */
  readonly waiters: readonly LockWaiter[];
}

const DEFAULT_WAIT: Duration = "30s";
const MAX_INTENT = 500;

/** Locks: leases whose holders say what they do, with a queue of those who wait. */
export class Locks {
  readonly #runtime: Runtime;
  readonly #leases: Leases;
  readonly #queue: Bucket;
  readonly #ended: AbortSignal;

  /**
   * @param queue where those who wait leave their tickets
   * @param ended fires when the connection is closed
   */
  constructor(runtime: Runtime, leases: Leases, queue: Bucket, ended: AbortSignal) {
    this.#ended = ended;
    this.#runtime = runtime;
    this.#leases = leases;
    this.#queue = queue;
  }

  /** See `mesh.lock()`. */
  async acquire(name: string, options: LockOptions): Promise<Lock> {
    const intent = options?.intent;
    if (typeof name !== "string" || name === "") {
      throw new MeshError("INVALID_CONTRACT", "A lock needs a name.");
    }
    if (typeof intent !== "string" || intent === "" || intent.length > MAX_INTENT) {
      const text = `Lock ${name}: the intent is a text of 1 to ${MAX_INTENT} characters.`;
      throw new MeshError("INVALID_CONTRACT", text);
    }
    const waitMs = toMs(options.wait ?? DEFAULT_WAIT);
    const view = this.#leases.lockView(name);
    const take = (wait: number): Promise<Lease> =>
      this.#leases.acquire(name, { ...options, wait }, view, { name, intent, since: Date.now() });
    if (waitMs === 0) return asLock(await take(0), intent);
    const place = this.#place(name, intent);
    const own = options.signal === undefined ? [] : [options.signal];
    const signal = AbortSignal.any([this.#ended, ...own]);
    using patience = new Patience(`Lock ${name}`, { timeout: waitMs, signal });
    patience.demand();
    try {
      await patience.for(place.join());
      await place.first(patience.signal);
      patience.demand();
      return asLock(await take(Math.max(1, Math.ceil(patience.untilMs - nowMs()))), intent);
    } catch (error) {
      if (error !== patience.signal.reason || signal.aborted) throw error;
      // Its turn has not come: the error says who has it.
      await view.refresh().catch(() => undefined);
      throw view.record === undefined ? error : notObtained("TIMEOUT", name, view);
    } finally {
      await place.leave();
    }
  }

  /** The locks that somebody holds or waits for. */
  async list(): Promise<LockInfo[]> {
    const { store } = this.#leases;
    const [keys, waiting] = await Promise.all([store.keys(LOCKS), lockWaiters(this.#queue)]);
    const found = await Promise.all(keys.map((key) => store.read(key)));
    const locks = new Map<string, LockInfo>();
    for (const entry of found) {
      const record = entry && decodeRecord(entry.value);
      if (record?.lock === undefined) continue;
      const { lock, holder: client, ttlMs, token = entry!.revision } = record;
      // By the clock of the broker and of whoever looks: good enough to look at.
      if (Date.now() - entry!.storedAt! > ttlMs + marginMs(ttlMs)) continue;
      const holder = { client, intent: lock.intent, since: lock.since, token };
      locks.set(lock.name, { name: lock.name, holder, waiters: waiting.get(lock.name) ?? [] });
    }
    for (const [name, waiters] of waiting) {
      if (!locks.has(name)) locks.set(name, { name, holder: undefined, waiters });
    }
    return [...locks.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1));
  }

  #place(lock: string, intent: string): LockPlace {
    const { client, log } = this.#runtime;
    const ticket = { lock, client, intent, since: Date.now() };
    return new LockPlace(this.#queue, log, newId(), ticket);
  }
}

function asLock(lease: Lease, intent: string): Lock {
  return {
    name: lease.name,
    intent,
    token: lease.token,
    get held() {
      return lease.held;
    },
    signal: lease.signal,
    release: () => lease.release(),
    [Symbol.asyncDispose]: () => lease.release(),
  };
}
