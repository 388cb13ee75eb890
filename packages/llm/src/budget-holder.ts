import { setImmediate as nextTurn } from "node:timers/promises";
import { MeshError, isMeshError } from "@plexus/core";
import { NOTHING, fitsIn, minus, plus, type Amount } from "./amount.ts";
import {
  crossed,
  fold,
  force,
  grant,
  keep,
  left,
  newBudget,
  used,
  type BudgetRecord,
  type HolderRecord,
} from "./budget.ts";
import type { Bucket } from "./fleet.ts";
import { pause } from "./pause.ts";

/** What a budget's holder is told and tells. */
export interface BudgetSettings {
  /** If nobody has set one yet. */
  readonly limit: Amount;
  readonly thresholds: readonly number[];
  /** A threshold was crossed, by this process's call; told once in the fleet. */
  readonly alert: (alert: { threshold: number; used: number }) => void;
}

const RETRY_MS = 200;
const IDLE_MS = 2_000;
const CLOSING_MS = 3_000; // how long a broker that is away is waited for at the end

/** The key under which a holder says what it has spent. */
export function holderKey(budget: string, holder: string): string {
  return `${budget}~${holder}`;
}

/**
 * One process's part in one budget. Calls are reserved out of a grant, mostly without asking anybody; what they came to is added
 * to a record of this process's own. Whoever is killed leaves a grant behind that stays blocked: nobody can know whether
 * what was reserved has been spent.
 */
export class BudgetHolder {
  readonly #bucket: Bucket;
  readonly #budget: string;
  readonly #settings: BudgetSettings;
  readonly #client: string;
  #holder: string;
  #generation = 0;
  #limited = { nanoUsd: true, tokens: true };
  #granted = NOTHING;
  #reserved = NOTHING;
  #raising = 0;
  #spent = NOTHING;
  /** The record names this holder, or did: if it does not any more, somebody has taken the grant away. */
  #listed = false;
  #main: { record: BudgetRecord; revision: number } | undefined;
  /** Of this holder's own record. */
  #revision = 0;
  #turn: Promise<unknown> = Promise.resolve();
  #flushing: Promise<void> | undefined;
  #dirty = false;
  #idle: NodeJS.Timeout | undefined;
  #closed = false;
  #untilMs = Infinity;

  constructor(bucket: Bucket, budget: string, client: string, settings: BudgetSettings) {
    this.#bucket = bucket;
    this.#budget = budget;
    this.#client = client;
    this.#holder = client;
    this.#settings = settings;
  }

  /**
   * Sets so much aside. Returns a promise only if the grant has to be raised for it; that rejects with `BUDGET_EXCEEDED`, or with
   * `NOT_CONNECTED` or `TIMEOUT` when the broker cannot be asked.
   */
  reserve(need: Amount): Promise<void> | undefined {
    if (this.#main === undefined || !this.#fits(need)) {
      this.#raising++;
      return this.#inTurn(() => this.#raise(need)).finally(() => this.#raising--);
    }
    this.#reserved = plus(this.#reserved, need);
    return undefined;
  }

  /** Calls are under way, or something is to be recorded. */
  get busy(): boolean {
    const { nanoUsd, tokens } = this.#reserved;
    const recording = this.#dirty || this.#flushing !== undefined;
    return recording || this.#raising > 0 || nanoUsd !== 0 || tokens !== 0;
  }

  /** A reserved call has come to `actual`. Resolves when that is recorded; undefined if there is nothing to record. */
  settle(reserved: Amount, actual: Amount): Promise<void> | undefined {
    this.#reserved = minus(this.#reserved, reserved);
    this.#spent = plus(this.#spent, actual);
    this.#rest();
    if (actual.nanoUsd === 0 && actual.tokens === 0) return undefined;
    this.#dirty = true;
    // A write that is under way may not hold this yet; the next one does. Whoever waits for the answer comes first.
    return (this.#flushing ?? nextTurn()).then(() => this.#flush());
  }

  /** Records everything and gives the rest of the grant back. Rejects if the broker stays away: then that stays blocked. */
  async close(): Promise<void> {
    if (this.#closed) return;
    clearTimeout(this.#idle);
    this.#untilMs = performance.now() + CLOSING_MS;
    await this.#flushing;
    await this.#flush();
    this.#closed = true;
    await this.#inTurn(async () => {
      if (!this.#listed) return;
      await this.#change((record) => fold(record, this.#holder, this.#spent));
      await this.#bucket.put(holderKey(this.#budget, this.#holder), undefined);
    });
  }

  #fits(need: Amount): boolean {
    const free = minus(this.#granted, plus(this.#spent, this.#reserved));
    return (
      (!this.#limited.nanoUsd || need.nanoUsd <= free.nanoUsd) &&
      (!this.#limited.tokens || need.tokens <= free.tokens)
    );
  }

  async #raise(need: Amount): Promise<void> {
    if (this.#main === undefined) await this.#read();
    if (!this.#fits(need)) {
      const done = await this.#change((record) => grant(record, this.#holder, this.#missing(need)));
      if (!done) throw this.#exceeded();
    }
    this.#reserved = plus(this.#reserved, need);
  }

  /** What the grant must be raised by; nothing in what is not limited. */
  #missing(need: Amount): Amount {
    const short = minus(plus(need, plus(this.#spent, this.#reserved)), this.#granted);
    return {
      nanoUsd: this.#limited.nanoUsd ? Math.max(0, short.nanoUsd) : 0,
      tokens: this.#limited.tokens ? Math.max(0, short.tokens) : 0,
    };
  }

  async #read(): Promise<void> {
    const entry = await this.#bucket.get(this.#budget);
    const found = entry?.value as BudgetRecord | undefined;
    if (this.#listed && found !== undefined && !(this.#holder in found.granted)) {
      await this.#startAnew();
      return this.#read();
    }
    this.#adopt(found ?? newBudget(this.#settings.limit), entry?.revision ?? 0);
  }

  /** Nobody else changes this holder's grant: what the record says of it is so. */
  #adopt(record: BudgetRecord, revision: number): void {
    this.#main = { record, revision };
    this.#granted = record.granted[this.#holder] ?? NOTHING;
    this.#listed ||= this.#holder in record.granted;
    this.#limited = {
      nanoUsd: record.limit.nanoUsd !== Infinity,
      tokens: record.limit.tokens !== Infinity,
    };
  }

  /** Changes the budget's record; false if `change` finds no way to, even in the newest one. */
  async #change(change: (record: BudgetRecord) => BudgetRecord | undefined): Promise<boolean> {
    let fresh = false;
    for (;;) {
      // Again only when somebody else was faster.
      if (this.#main === undefined) {
        await this.#read();
        fresh = true;
      }
      const { record, revision } = this.#main!;
      const changed = change(record);
      if (changed === undefined) {
        if (fresh) return false;
        this.#main = undefined;
        continue;
      }
      const { record: noted, threshold } = crossed(changed, this.#settings.thresholds);
      this.#main = undefined;
      try {
        this.#adopt(noted, await this.#bucket.put(this.#budget, noted, { revision }));
      } catch (error) {
        if (!isMeshError(error, "CONFLICT")) throw error;
        continue;
      }
      if (threshold !== undefined) this.#settings.alert({ threshold, used: used(noted) });
      return true;
    }
  }

  #flush(): Promise<void> {
    return (this.#flushing ??= this.#write().finally(() => {
      this.#flushing = undefined;
    }));
  }

  /** Says what was spent, until the broker has it. One write at a time; it holds whatever was added until it left. */
  async #write(): Promise<void> {
    while (this.#dirty) {
      this.#dirty = false;
      const { revision, key, spent } = {
        revision: this.#revision,
        key: holderKey(this.#budget, this.#holder),
        spent: this.#spent,
      };
      try {
        this.#revision = await this.#bucket.put(key, { spent, sealed: false }, { revision });
        if (!fitsIn(this.#committed(), this.#granted)) await this.#inTurn(() => this.#catchUp());
      } catch (error) {
        this.#dirty = true;
        if (performance.now() > this.#untilMs) throw error;
        if (!isMeshError(error, "CONFLICT")) await pause(RETRY_MS);
        await this.#recover(key).catch(() => pause(RETRY_MS));
      }
    }
  }

  /** After a write of unknown fate, or after somebody has sealed this holder's record. */
  async #recover(key: string): Promise<void> {
    const entry = await this.#bucket.get(key);
    const found = entry?.value as HolderRecord | undefined;
    if (found?.sealed) {
      await this.#inTurn(async () => {
        if (key !== holderKey(this.#budget, this.#holder)) return; // done meanwhile
        await this.#startAnew();
        await this.#catchUp();
      });
    } else this.#revision = entry?.revision ?? 0;
  }

  /** Goes on under another name, with what the old one has not said yet. */
  async #startAnew(): Promise<void> {
    const entry = await this.#bucket.get(holderKey(this.#budget, this.#holder));
    const said = (entry?.value as HolderRecord | undefined)?.spent ?? NOTHING;
    this.#spent = minus(this.#spent, said);
    this.#dirty ||= this.#spent.nanoUsd > 0 || this.#spent.tokens > 0;
    this.#generation++;
    this.#holder = `${this.#client}.${this.#generation}`;
    this.#revision = 0;
    this.#listed = false;
    this.#main = undefined;
  }

  /** What the grant must cover, in what is limited. */
  #committed(): Amount {
    const sum = plus(this.#spent, this.#reserved);
    return {
      nanoUsd: this.#limited.nanoUsd ? sum.nanoUsd : 0,
      tokens: this.#limited.tokens ? sum.tokens : 0,
    };
  }

  /** What is gone is gone, so the record has to say so: a call cost more than was reserved, or the grant was taken away. */
  async #catchUp(): Promise<void> {
    await this.#change((record) => {
      const owed = minus(this.#committed(), this.#granted);
      const missing = { nanoUsd: Math.max(0, owed.nanoUsd), tokens: Math.max(0, owed.tokens) };
      return force(record, this.#holder, missing);
    });
  }

  /** Gives back what is granted ahead, once nobody has needed it for a while. */
  #rest(): void {
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => {
      const returned = this.#inTurn(async () => {
        if (this.#closed || fitsIn(this.#granted, this.#committed())) return;
        await this.#change((record) => keep(record, this.#holder, this.#committed()));
      });
      returned.catch(() => undefined); // it stays granted, and is tried again after the next call
    }, IDLE_MS).unref();
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work, work);
    this.#turn = done.catch(() => undefined);
    return done;
  }

  #exceeded(): MeshError {
    const { record } = this.#main!;
    const rest = left(record);
    return new MeshError(
      "BUDGET_EXCEEDED",
      `Budget ${this.#budget} does not cover this call: ${describe(rest)} of ${describe(record.limit)} left. Raise it with: plexus llm budget set ${this.#budget}`,
      { details: { budget: this.#budget, limit: record.limit, left: rest } },
    );
  }
}

function describe({ nanoUsd, tokens }: Amount): string {
  const parts = [
    ...(nanoUsd === Infinity ? [] : [`$${(nanoUsd / 1e9).toFixed(6)}`]),
    ...(tokens === Infinity ? [] : [`${tokens} tokens`]),
  ];
  return parts.join(" and ");
}
