import { MAX_TIMER_MS } from "@plexus/core";
import { nowMs } from "./clock.ts";
import type { StateStore } from "./nats/state-store.ts";
import type { Runtime } from "./runtime.ts";
import type { StoredState } from "./state-record.ts";
import { isPassing, untilConnected } from "./surely.ts";

/** Told of each change of a key. */
export type StateListener = (changed: StoredState) => void;

const CHECK_MS = 2_000; // how long a notice that the broker lost on its way can stay unnoticed
const PATIENCE_MS = 25; // for the notice of a message that is known to be stored
const PAUSE_MS = 50;
const MAX_PAUSE_MS = 1_000;
const LAG_MS = 10; // before a replica that is behind is asked again

interface Waiter {
  readonly sequence: number;
  readonly reached: () => void;
}

/**
 * A process's copy of a shared state. The broker tells it of each message that it has stored; their numbers have no gaps, so
 * the copy knows up to where it is complete, and reads what it was not told of.
 */
export class StateReplica {
  readonly #runtime: Runtime;
  readonly #store: StateStore;
  readonly #known = new Map<string, StoredState>();
  /** Everything up to this sequence is known, and perhaps some of what comes behind. */
  #position = 0;
  /** The highest sequence that was told. */
  #heard = 0;
  readonly #listeners = new Set<StateListener>();
  readonly #waiters = new Set<Waiter>();
  readonly #expiries = new Map<string, NodeJS.Timeout>();
  #unfollow: (() => void) | undefined;
  #started: Promise<void> | undefined;
  #reading: Promise<number> | undefined;
  #check: NodeJS.Timeout | undefined;
  #catchUp: NodeJS.Timeout | undefined;
  #complete = false;
  #closed = false;

  constructor(runtime: Runtime, store: StateStore) {
    this.#runtime = runtime;
    this.#store = store;
  }

  /** Resolves when the copy has been complete once; tries until it can be, or `signal` fires. Rejects with what refuses it for good. */
  async start(signal: AbortSignal): Promise<void> {
    for (let pause = PAUSE_MS; !signal.aborted; pause = Math.min(pause * 2, MAX_PAUSE_MS)) {
      try {
        await this.#start();
        return;
      } catch (error) {
        if (!isPassing(error) || this.#closed) throw error;
        await untilConnected(this.#runtime, pause);
      }
    }
  }

  /** Whether the copy has been complete. */
  get started(): boolean {
    return this.#complete;
  }

  /** What is known of a key. The record of a removal has no value. */
  get(key: string): StoredState | undefined {
    return this.#known.get(key);
  }

  /** The keys that have a value. */
  keys(): string[] {
    const present = [...this.#known.values()].filter(({ record }) => record.value !== undefined);
    return present.map(({ record }) => record.key);
  }

  /** Takes note of what stands, or has stood, under a key. */
  note(found: StoredState): void {
    const { key, ttlMs, value } = found.record;
    if (found.revision <= (this.#known.get(key)?.revision ?? 0)) return;
    this.#known.set(key, found);
    clearTimeout(this.#expiries.get(key));
    this.#expiries.delete(key);
    const leftMs = ttlMs - Math.max(0, Date.now() - found.storedAt);
    if (ttlMs > 0 && value !== undefined && leftMs <= MAX_TIMER_MS) {
      const timer = setTimeout(() => this.#forget(found), Math.max(0, leftMs));
      this.#expiries.set(key, timer.unref());
    }
    for (const listener of this.#listeners) listener(found);
  }

  /** Calls `listener` for what is known, then for each change. Returns what ends it. */
  watch(listener: StateListener): () => void {
    for (const found of this.#known.values()) if (found.record.value !== undefined) listener(found);
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Resolves once everything up to a sequence is known, which must be one that is stored. Aborting makes it give up without a word. */
  async reach(sequence: number, signal: AbortSignal): Promise<void> {
    let waiter: Waiter | undefined;
    const told = new Promise<void>((resolve) => {
      waiter = { sequence, reached: resolve };
      this.#waiters.add(waiter);
      signal.addEventListener("abort", () => resolve(), { once: true });
    });
    const timer = setTimeout(() => void this.#readUntil(sequence, signal), PATIENCE_MS);
    this.#tellWaiters();
    await told;
    clearTimeout(timer);
    this.#waiters.delete(waiter!);
  }

  /** The connection is back: nobody was told of what happened meanwhile, and the broker may have lost everything. */
  connectionRestored(): void {
    if (this.#started !== undefined) void this.#readAgain().catch(() => undefined);
  }

  close(): void {
    this.#closed = true;
    this.#unfollow?.();
    clearTimeout(this.#check);
    clearTimeout(this.#catchUp);
    for (const timer of this.#expiries.values()) clearTimeout(timer);
    this.#listeners.clear();
  }

  #start(): Promise<void> {
    if (this.#started === undefined) {
      const started = this.#begin();
      this.#started = started;
      started.catch(() => (this.#started = undefined));
    }
    return this.#started;
  }

  async #begin(): Promise<void> {
    this.#unfollow ??= this.#store.follow((sequence, found) => this.#told(sequence, found));
    await this.#runtime.link.settle();
    await this.#readOn();
    this.#complete = true;
    this.#checkLater();
  }

  /** The broker has told of a message. */
  #told(sequence: number, found: StoredState | undefined): void {
    if (found) this.note(found);
    this.#heard = Math.max(this.#heard, sequence);
    if (sequence === this.#position + 1) this.#advance(sequence);
    else if (sequence > this.#position && this.#reading === undefined && this.#started) {
      void this.#readOn().catch(() => undefined); // something is missing between
    }
  }

  #advance(position: number): void {
    this.#position = Math.max(this.#position, position);
    this.#tellWaiters();
  }

  #tellWaiters(): void {
    for (const waiter of this.#waiters) {
      if (waiter.sequence > this.#position) continue;
      this.#waiters.delete(waiter);
      waiter.reached();
    }
  }

  /** Reads until a sequence is reached that was not told of. */
  async #readUntil(sequence: number, signal: AbortSignal): Promise<void> {
    for (let pause = LAG_MS; !signal.aborted && !this.#closed; pause = Math.min(pause * 2, 200)) {
      // Again only if who answered was behind, or nobody did.
      await this.#readOn().catch(() => undefined);
      if (this.#position >= sequence) return;
      await untilConnected(this.#runtime, pause);
    }
  }

  /** Reads what lies behind the position; whoever asks while that goes on gets the next turn. */
  async #readOn(): Promise<void> {
    const before = this.#reading;
    if (before !== undefined) await before.catch(() => undefined);
    const reading = (this.#reading ??= this.#read(this.#position));
    try {
      this.#advance(await reading);
    } finally {
      if (this.#reading === reading) this.#reading = undefined;
    }
    if (this.#heard > this.#position && this.#catchUp === undefined && !this.#closed) {
      this.#catchUp = setTimeout(() => {
        this.#catchUp = undefined;
        void this.#readOn().catch(() => undefined);
      }, LAG_MS).unref();
    }
  }

  /** Reads everything, forgets what is not there any more, and takes the stream as it is, even if it is another one. */
  async #readAgain(): Promise<void> {
    for (let pause = PAUSE_MS; !this.#closed; pause = Math.min(pause * 2, MAX_PAUSE_MS)) {
      const before = new Map(this.#known);
      const seen = new Set<string>();
      try {
        const position = await this.#read(0, seen);
        for (const [key, found] of before) if (!seen.has(key)) this.#forget(found);
        this.#advance(position);
        return;
      } catch (error) {
        if (!isPassing(error)) throw error;
        await untilConnected(this.#runtime, pause);
      }
    }
  }

  /**
   * Takes note of everything behind a sequence that was complete, and returns up to where it is complete now. One page is one
   * replica's view at one moment. Several may be of different replicas, one of which leaves out what it knows to be overwritten, by
   * something that the next one does not know yet: so the last page must hold a barrier that was written after the others.
   */
  async #read(from: number, seen?: Set<string>): Promise<number> {
    let position = from;
    let floor = 0;
    for (;;) {
      // Each page begins where the one before ended.
      const { found, last, complete } = await this.#store.page(position + 1);
      for (const one of found) {
        seen?.add(one.record.key);
        this.note(one);
      }
      position = last ?? position;
      if (!complete) floor = Infinity;
      else if (floor === Infinity) floor = await this.#store.barrier();
      else if (position >= floor) return position;
      else await untilConnected(this.#runtime, LAG_MS);
    }
  }

  /** What expired, or vanished with the broker's memory. */
  #forget(found: StoredState): void {
    const { key } = found.record;
    if (this.#known.get(key) !== found) return;
    this.#known.delete(key);
    this.#expiries.delete(key);
    if (found.record.value === undefined) return;
    const gone = { ...found, record: { ...found.record, value: undefined } };
    for (const listener of this.#listeners) listener(gone);
  }

  /** Looks now and then whether there is anything that the broker did not tell of. */
  #checkLater(): void {
    if (this.#closed) return;
    const due = CHECK_MS * (0.75 + Math.random() / 2);
    this.#check = setTimeout(() => {
      const began = nowMs();
      const checked = this.#runtime.link.connected ? this.#readOn() : Promise.resolve();
      checked
        .catch((error: unknown) => {
          const took = nowMs() - began;
          this.#runtime.log.debug({ err: error, took }, "a shared state could not be read on");
        })
        .finally(() => this.#checkLater());
    }, due).unref();
  }
}
