import { MAX_TIMER_MS, MeshError, escapeKey, toMs } from "@plexus/core";
import { Candidacy, type ElectOptions, type Election } from "./election.ts";
import { fastCounter, fastGauge, type Cell } from "./histogram.ts";
import {
  HeldLease,
  type Lease,
  type LeaseEnd,
  type LeaseHome,
  type LeaseOptions,
} from "./lease.ts";
import { parseTtl, type LockRecord } from "./lease-record.ts";
import { LeaseView } from "./lease-view.ts";
import type { Logger } from "./log.ts";
import type { LeaseStore } from "./nats/lease-store.ts";
import { Pursuit, notObtained } from "./pursuit.ts";
import { newId, type Runtime } from "./runtime.ts";

const DEFAULT_WAIT_MS = 30_000;
const MAX_VIEWS = 1_024; // some hundred bytes each

/** Prefix of the keys of the locks' leases in the bucket. */
export const LOCKS = "lock";

/** What else may be said of a lease that is wanted. */
interface ObtainOptions {
  readonly view?: LeaseView;
  readonly lock?: LockRecord | undefined;
  /** Do not wait. */
  readonly once?: boolean;
}

/** Somebody waits for a lease. */
interface Waiting {
  readonly ended: AbortController;
  /** Nothing of it is under way to the broker any more. */
  readonly settled: Promise<void>;
}

/** The leases and elections of one mesh connection. */
export class Leases implements LeaseHome {
  readonly store: LeaseStore;
  readonly log: Logger;
  readonly #runtime: Runtime;
  readonly #views = new Map<string, LeaseView>();
  readonly #waiting = new Set<Waiting>();
  readonly #held = new Set<HeldLease>();
  readonly #elections = new Set<Candidacy>();
  readonly #gauge: Cell;
  readonly #transitions: Record<"acquired" | LeaseEnd, Cell>;
  #ignoreConnection: () => void;
  #closed = false;

  constructor(runtime: Runtime, store: LeaseStore) {
    this.#runtime = runtime;
    this.store = store;
    this.log = runtime.log;
    const { registry } = runtime.metrics;
    this.#gauge = fastGauge(registry, "plexus_leases_held", "Leases held", []).with({});
    const name = "plexus_lease_transitions_total";
    const transitions = fastCounter(registry, name, "Leases acquired, released, lost", ["event"]);
    this.#transitions = {
      acquired: transitions.with({ event: "acquired" }),
      released: transitions.with({ event: "released" }),
      lost: transitions.with({ event: "lost" }),
    };
    this.#ignoreConnection = this.#onReconnection();
  }

  /** See `mesh.lease()`. */
  async acquire(
    name: string,
    options: LeaseOptions = {},
    view = this.view(name),
    lock?: LockRecord,
  ): Promise<Lease> {
    const ttlMs = parseTtl(options.ttl);
    const waitMs = options.wait === undefined ? DEFAULT_WAIT_MS : toMs(options.wait);
    const { signal } = options;
    const ended = new AbortController();
    const cancel = (): void => ended.abort(noLongerWaiting(name, signal?.reason));
    if (signal?.aborted) cancel();
    signal?.addEventListener("abort", cancel, { once: true });
    const expire = (): void => ended.abort(this.#timeout(name, view, waitMs));
    const timer = waitMs > 0 && setTimeout(expire, Math.min(waitMs, MAX_TIMER_MS));
    try {
      return await this.obtain(name, ttlMs, ended, { view, lock, once: waitMs === 0 });
    } finally {
      if (timer) clearTimeout(timer);
      signal?.removeEventListener("abort", cancel);
    }
  }

  /** See `mesh.elect()`. */
  elect(name: string, options: ElectOptions): Election {
    if (this.#closed) throw closed();
    const election = new Candidacy(this, this.view(name), name, options, () =>
      this.#elections.delete(election),
    );
    this.#elections.add(election);
    return election;
  }

  /** Resolves with the lease when its turn has come; rejects with the reason of `ended` as soon as that is aborted. */
  obtain(
    name: string,
    ttlMs: number,
    ended: AbortController,
    { view = this.view(name), lock, once = false }: ObtainOptions = {},
  ): Promise<HeldLease> {
    if (this.#closed) {
      return Promise.reject(closed());
    }
    const { client: holder, name: process } = this.#runtime;
    const nonce = newId();
    const record = { holder, name: process, nonce, ttlMs, ...(lock === undefined ? {} : { lock }) };
    const pursuit = new Pursuit(this.store, view, name, record);
    return new Promise((resolve, reject) => {
      const stop = (): void => reject(ended.signal.reason as Error);
      if (ended.signal.aborted) return stop();
      ended.signal.addEventListener("abort", stop, { once: true });
      const settled = (once ? pursuit.once() : pursuit.run(ended.signal)).then(
        (acquisition) => {
          const lease = new HeldLease(this, acquisition);
          this.#held.add(lease);
          this.#gauge.value = this.#held.size;
          this.#transitions.acquired.value++;
          resolve(lease);
          return ended.signal.aborted ? lease.release() : undefined; // too late: nobody wants it any more
        },
        (error: Error) => {
          reject(error);
          return pursuit.withdraw();
        },
      );
      const waiting = { ended, settled };
      this.#waiting.add(waiting);
      void settled.finally(() => {
        this.#waiting.delete(waiting);
        ended.signal.removeEventListener("abort", stop);
      });
    });
  }

  /** What is known of a lease; kept for some time, so that who tries again later knows since when it was not renewed. */
  view(name: string): LeaseView {
    if (typeof name !== "string" || name === "") {
      throw new MeshError("INVALID_CONTRACT", "A lease needs a name.");
    }
    return this.#view(escapeKey(name));
  }

  /** {@link view} of a lock's lease: locks have names of their own. */
  lockView(name: string): LeaseView {
    return this.#view(`${LOCKS}.${escapeKey(name)}`);
  }

  #view(key: string): LeaseView {
    let view = this.#views.get(key);
    if (view === undefined) {
      view = new LeaseView(this.store, key);
      this.#views.set(key, view);
      if (this.#views.size > MAX_VIEWS) this.#forget(view);
    }
    return view;
  }

  /** Called by a lease when it has ended. */
  ended(lease: HeldLease, how: LeaseEnd): void {
    this.#held.delete(lease);
    this.#gauge.value = this.#held.size;
    this.#transitions[how].value++;
  }

  /** Resigns from every election, gives up waiting, releases everything. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#elections].map((election) => election.resign()));
    const closing = new MeshError("CANCELED", "The connection to the mesh is closing.");
    for (const { ended } of this.#waiting) ended.abort(closing);
    await Promise.all([...this.#waiting].map(({ settled }) => settled));
    await Promise.all([...this.#held].map((lease) => lease.release()));
    this.#ignoreConnection();
  }

  /** Forgets the view that was made first of those that nobody watches. */
  #forget(newest: LeaseView): void {
    for (const [key, view] of this.#views) {
      if (view.watched || view === newest) continue;
      this.#views.delete(key);
      return;
    }
  }

  /** What was written while the connection was broken has to be read. */
  #onReconnection(): () => void {
    return this.#runtime.whenConnected(() => {
      for (const view of this.#views.values()) if (view.watched) void view.catchUp();
      this.#ignoreConnection = this.#onReconnection();
    });
  }

  #timeout(name: string, view: LeaseView, waitMs: number): MeshError {
    if (view.revision !== undefined && this.#runtime.link.connected) {
      return notObtained("TIMEOUT", name, view);
    }
    const text = `Lease ${name}: the broker could not be asked within ${waitMs} ms.`;
    return new MeshError("NOT_CONNECTED", text, { cause: view.failure });
  }
}

function closed(): MeshError {
  return new MeshError("NOT_CONNECTED", "The connection to the mesh is closed.");
}

function noLongerWaiting(name: string, cause: unknown): MeshError {
  return new MeshError("CANCELED", `No longer waiting for lease ${name}.`, { cause });
}
