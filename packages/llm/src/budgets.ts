import { isMeshError } from "@plexus/core";
import { NOTHING, minus, nanoUsd, plus, total, type Amount } from "./amount.ts";
import { BudgetHolder, holderKey } from "./budget-holder.ts";
import { fold, newBudget, type BudgetRecord, type HolderRecord } from "./budget.ts";
import type { Bucket, Fleet } from "./fleet.ts";

/** What may be spent, in US dollars and tokens. */
export interface BudgetLimit {
  readonly usd?: number;
  readonly tokens?: number;
}

/** Limits by what they are for; each agent, tenant and run has its own budget. */
export interface BudgetOptions {
  readonly mesh?: BudgetLimit;
  readonly agent?: BudgetLimit;
  readonly tenant?: BudgetLimit;
  readonly run?: BudgetLimit;
  /** Fractions of a limit at whose crossing an alert is given. Default 0.5, 0.8 and 1. */
  readonly alertAt?: readonly number[];
}

/** Whom a call is charged to, beside the mesh. */
export interface BudgetScope {
  readonly agent?: string;
  readonly tenant?: string;
  readonly run?: string;
}

/** What is known of one budget. */
export interface BudgetReport {
  readonly name: string;
  readonly limit: Amount;
  readonly spent: Amount;
  /** Set aside by processes for calls of theirs; or by processes that have died, and then nobody knows what became of it. */
  readonly held: Amount;
  readonly processes: number;
}

/** Tells that a budget has crossed one of its thresholds. */
export interface BudgetAlert {
  readonly budget: string;
  readonly threshold: number;
  readonly used: number;
}

/** What a call has set aside. */
export interface Reservation {
  /** The call has come to this; what was not spent is free at once. Resolves when it is recorded, and never rejects. */
  settle(actual: Amount): Promise<void> | undefined;
}

const KINDS = ["agent", "tenant", "run"] as const;
const MAX_HOLDERS = 1_024; // of budgets, in one process

/** A limit as an amount. */
function limitOf({ usd, tokens }: BudgetLimit): Amount {
  return {
    nanoUsd: usd === undefined ? Infinity : nanoUsd(usd),
    tokens: tokens ?? Infinity,
  };
}

/** The bucket of the budgets, which survives everything that the broker does. */
export function budgetBucket(fleet: Pick<Fleet, "bucket">): Bucket {
  return fleet.bucket("budgets", { storage: "file" });
}

/** The budgets that one process's calls are charged to. */
export class Budgets {
  readonly #bucket: Bucket;
  readonly #client: string;
  readonly #options: BudgetOptions;
  readonly #alert: (alert: BudgetAlert) => void;
  /** Those that were used last at the end. */
  readonly #holders = new Map<string, BudgetHolder>();
  readonly #leaving = new Set<Promise<void>>();
  #left = 0;

  constructor(fleet: Fleet, options: BudgetOptions, alert: (alert: BudgetAlert) => void) {
    this.#bucket = budgetBucket(fleet);
    this.#client = fleet.client;
    this.#options = options;
    this.#alert = alert;
  }

  /** True if money is limited for such calls: then their price has to be known. */
  countsMoney(scope: BudgetScope): boolean {
    return this.#names(scope).some(({ limit }) => limit.usd !== undefined);
  }

  /**
   * Sets the most that a call can cost aside, in all budgets that it is charged to. Rejects with `BUDGET_EXCEEDED`; then
   * nothing is set aside.
   */
  async reserve(scope: BudgetScope, need: Amount): Promise<Reservation> {
    const reserved: BudgetHolder[] = [];
    try {
      for (const { name, limit } of this.#names(scope)) {
        const holder = this.#holder(name, limit);
        const asked = holder.reserve(need);
        // What one refuses need not be asked of the next.
        if (asked !== undefined) await asked;
        reserved.push(holder);
      }
    } catch (error) {
      for (const holder of reserved) void holder.settle(need, NOTHING);
      throw error;
    }
    return {
      settle(actual) {
        const settled = reserved.flatMap((holder) => holder.settle(need, actual) ?? []);
        if (settled.length === 0) return undefined;
        return Promise.allSettled(settled).then(() => undefined);
      },
    };
  }

  /** Records what was spent and gives back what was not. */
  async close(): Promise<void> {
    await Promise.allSettled([...this.#holders.values()].map((holder) => holder.close()));
    await Promise.all(this.#leaving);
  }

  #names(scope: BudgetScope): { name: string; limit: BudgetLimit }[] {
    const { mesh } = this.#options;
    const own = KINDS.flatMap((kind) => {
      const [limit, value] = [this.#options[kind], scope[kind]];
      return limit === undefined || value === undefined
        ? []
        : [{ name: `${kind}:${value}`, limit }];
    });
    return mesh === undefined ? own : [{ name: "mesh", limit: mesh }, ...own];
  }

  #holder(name: string, limit: BudgetLimit): BudgetHolder {
    let holder = this.#holders.get(name);
    this.#holders.delete(name);
    if (holder === undefined) {
      this.#makeRoom();
      const { alertAt = [0.5, 0.8, 1] } = this.#options;
      // What one has left behind that could not record its end is none of the next one's.
      const client = this.#left === 0 ? this.#client : `${this.#client}.r${this.#left}`;
      holder = new BudgetHolder(this.#bucket, name, client, {
        limit: limitOf(limit),
        thresholds: alertAt,
        alert: (alert) => this.#alert({ budget: name, ...alert }),
      });
    }
    this.#holders.set(name, holder);
    return holder;
  }

  /** Every run has a budget of its own: those that were used longest ago, and have nothing under way, give back their grants. */
  #makeRoom(): void {
    for (const [name, holder] of this.#holders) {
      if (this.#holders.size < MAX_HOLDERS) return;
      if (holder.busy) continue;
      this.#holders.delete(name);
      this.#left++;
      const leaving = holder
        .close()
        .catch(() => undefined) // what it was granted stays blocked
        .finally(() => this.#leaving.delete(leaving));
      this.#leaving.add(leaving);
    }
  }
}

/** All budgets that somebody has used or set. */
export async function listBudgets(bucket: Bucket): Promise<BudgetReport[]> {
  const names = (await bucket.keys()).filter((key) => !key.includes("~"));
  const reports = await Promise.all(names.toSorted().map((name) => readBudget(bucket, name)));
  return reports.filter((report) => report !== undefined);
}

/** What is known of a budget. */
export async function readBudget(bucket: Bucket, name: string): Promise<BudgetReport | undefined> {
  const record = (await bucket.get(name))?.value as BudgetRecord | undefined;
  if (record === undefined) return undefined;
  const holders = Object.keys(record.granted);
  const entries = await Promise.all(holders.map((holder) => bucket.get(holderKey(name, holder))));
  const spent = total(
    entries.map((entry) => (entry?.value as HolderRecord | undefined)?.spent ?? NOTHING),
  );
  const { nanoUsd: money, tokens } = minus(total(Object.values(record.granted)), spent);
  return {
    name,
    limit: record.limit,
    spent: plus(record.settled, spent),
    held: { nanoUsd: Math.max(0, money), tokens: Math.max(0, tokens) },
    processes: holders.length,
  };
}

/** Sets a budget's limit; processes that use it go by it from their next grant on. */
export async function setBudget(bucket: Bucket, name: string, limit: BudgetLimit): Promise<void> {
  await change(bucket, name, (record) => ({
    ...(record ?? newBudget(limitOf(limit))),
    limit: limitOf(limit),
    alerted: 0,
  }));
}

/**
 * Takes back what processes hold: what the dead have left behind. Those that are alive notice, and what they have spent counts;
 * but calls that they have under way are then beyond the limit.
 */
export async function releaseBudget(bucket: Bucket, name: string): Promise<void> {
  const found = (await bucket.get(name))?.value as BudgetRecord | undefined;
  for (const holder of Object.keys(found?.granted ?? {})) {
    // Each one's last word first.
    const { spent } = await seal(bucket, holderKey(name, holder));
    await change(bucket, name, (record) => record && fold(record, holder, spent));
  }
}

async function seal(bucket: Bucket, key: string): Promise<HolderRecord> {
  for (;;) {
    // Again only if its owner has written meanwhile.
    const entry = await bucket.get(key);
    const found = (entry?.value as HolderRecord | undefined) ?? { spent: NOTHING, sealed: false };
    if (found.sealed) return found;
    try {
      await bucket.put(key, { ...found, sealed: true }, { revision: entry?.revision ?? 0 });
      return found;
    } catch (error) {
      if (!isMeshError(error, "CONFLICT")) throw error;
    }
  }
}

async function change(
  bucket: Bucket,
  name: string,
  how: (record: BudgetRecord | undefined) => BudgetRecord | undefined,
): Promise<void> {
  for (;;) {
    // Again only if somebody else was faster.
    const entry = await bucket.get(name);
    const changed = how(entry?.value as BudgetRecord | undefined);
    if (changed === undefined) return;
    try {
      await bucket.put(name, changed, { revision: entry?.revision ?? 0 });
      return;
    } catch (error) {
      if (!isMeshError(error, "CONFLICT")) throw error;
    }
  }
}
