import { setTimeout as sleep } from "node:timers/promises";
import { MeshError, type Duration } from "@plexus/core";
import type { HeldLease } from "./lease.ts";
import { parseTtl, type Leader } from "./lease-record.ts";
import type { LeaseView } from "./lease-view.ts";
import type { Logger } from "./log.ts";

/** What the one who leads gets. */
export interface Leadership {
  /** The fencing token, higher than that of every leader before; see `Lease`. */
  readonly token: number;
  /** Fires when leadership is lost (`FENCED`) or given up (`CANCELED`). The function should end soon then. */
  readonly signal: AbortSignal;
}

/** Options of `mesh.elect()`. */
export interface ElectOptions {
  /** How long a leader that does not answer is waited for, 500 ms to 1 day. Default 10 s. */
  readonly ttl?: Duration;
  /** Runs while this process leads. When it ends, another process gets the turn, and this one stands again. */
  readonly onElected: (leadership: Leadership) => unknown;
}

/** A process's part in an election; disposing resigns. */
export interface Election extends AsyncDisposable {
  readonly name: string;
  /** Who leads, as far as this process knows. */
  readonly leader: Leader | undefined;
  /** Whether this process leads at this moment, by its own clock. */
  readonly leading: boolean;
  /** Calls `listener` whenever `leader` changes. Returns the function that ends it. */
  watch(listener: (leader: Leader | undefined) => void): () => void;
  /** Gives leadership up and does not stand again. Resolves when `onElected` has ended, or after the ttl, at most 30 s. */
  resign(): Promise<void>;
}

/** What an election needs of the connection. */
export interface ElectionHome {
  readonly log: Logger;
  obtain(name: string, ttlMs: number, ended: AbortController): Promise<HeldLease>;
}

const MAX_PATIENCE_MS = 30_000; // with a function that does not end; a host that drains waits for as long
const PAUSE_MS = 1_000; // after a failure that waiting does not mend, such as a missing permission

/** Campaigns for a lease again and again, and runs a function while it is held. */
export class Candidacy implements Election {
  readonly name: string;
  readonly #home: ElectionHome;
  readonly #view: LeaseView;
  readonly #ttlMs: number;
  readonly #onElected: (leadership: Leadership) => unknown;
  readonly #resigning = new AbortController();
  readonly #listeners = new Set<(leader: Leader | undefined) => void>();
  readonly #done: Promise<void>;
  #lease: HeldLease | undefined;
  #told: Leader | undefined;

  constructor(
    home: ElectionHome,
    view: LeaseView,
    name: string,
    { ttl, onElected }: ElectOptions,
    ended: () => void,
  ) {
    if (typeof onElected !== "function") {
      throw new MeshError("INVALID_CONTRACT", `Election ${name} needs a function onElected.`);
    }
    this.name = name;
    this.#home = home;
    this.#view = view;
    this.#ttlMs = parseTtl(ttl);
    this.#onElected = onElected;
    const unwatch = view.watch(() => this.#tell());
    this.#done = this.#campaign().finally(() => {
      unwatch();
      ended();
    });
  }

  get leader(): Leader | undefined {
    const { holder } = this.#view;
    const own = holder !== undefined && holder.token === this.#lease?.token;
    return own && !this.leading ? undefined : holder; // one's own end is known before the record says so
  }

  get leading(): boolean {
    return this.#lease?.held ?? false;
  }

  watch(listener: (leader: Leader | undefined) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  resign(): Promise<void> {
    this.#resigning.abort(new MeshError("CANCELED", `Resigned from election ${this.name}.`));
    return this.#done;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.resign();
  }

  async #campaign(): Promise<void> {
    const { signal } = this.#resigning;
    while (!signal.aborted) {
      try {
        this.#lease = await this.#home.obtain(this.name, this.#ttlMs, this.#resigning);
        if (!signal.aborted) await this.#lead(this.#lease);
        else await this.#lease.release();
      } catch (error) {
        if (signal.aborted) return;
        this.#home.log.warn({ err: error, election: this.name }, "cannot stand for election");
        await pause(PAUSE_MS, signal);
      }
    }
  }

  async #lead(lease: HeldLease): Promise<void> {
    const term = new AbortController();
    const overdue = Promise.withResolvers<false>();
    let timer: NodeJS.Timeout | undefined;
    const lost = (): void => {
      term.abort(lease.signal.reason);
      this.#tell();
    };
    const resigned = (): void => {
      term.abort(this.#resigning.signal.reason);
      timer = setTimeout(() => overdue.resolve(false), Math.min(this.#ttlMs, MAX_PATIENCE_MS));
    };
    lease.signal.addEventListener("abort", lost, { once: true });
    this.#resigning.signal.addEventListener("abort", resigned, { once: true });
    this.#tell();
    const work = this.#work({ token: lease.token, signal: term.signal });
    const inTime = await Promise.race([work, overdue.promise]);
    clearTimeout(timer);
    this.#resigning.signal.removeEventListener("abort", resigned);
    const { held } = lease;
    if (inTime) await lease.release();
    else this.#giveUpOn(lease);
    this.#tell();
    // A function that ends at once would otherwise be elected as fast as the broker can write.
    if (held) await pause(this.#ttlMs / 3, this.#resigning.signal);
  }

  /** The function goes on working: others must not begin before the lease has expired, and with it the token. */
  #giveUpOn(lease: HeldLease): void {
    const text = "onElected goes on after the resignation: its lease is left to expire";
    this.#home.log.warn({ election: this.name }, text);
    lease.abandon();
  }

  async #work(leadership: Leadership): Promise<true> {
    try {
      await this.#onElected(leadership);
    } catch (error) {
      const { log } = this.#home;
      if (leadership.signal.aborted) log.debug({ err: error }, "onElected ended with its term");
      else log.error({ err: error, election: this.name }, "onElected failed");
    }
    return true;
  }

  #tell(): void {
    const { leader } = this;
    if (leader?.token === this.#told?.token) return;
    this.#told = leader;
    for (const listener of this.#listeners) {
      try {
        listener(leader);
      } catch (error) {
        this.#home.log.error({ err: error }, "a listener of an election failed");
      }
    }
  }
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => undefined);
}
