import type { Bucket, Fleet } from "./fleet.ts";
import type { Usage } from "./model.ts";

/** What one agent has used of one deployment. */
export interface UsageRow {
  readonly agent: string;
  readonly model: string;
  readonly calls: number;
  readonly failed: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly nanoUsd: number;
}

interface DayRecord {
  readonly rows: readonly UsageRow[];
}

const WRITE_EVERY_MS = 2_000;

/**
 * Who has used how much, by day: each process adds up its own and writes the sums, a little behind. It is for people to look at; what
 * limits anything are the budgets.
 */
export class UsageLedger {
  readonly #bucket: Bucket;
  readonly #client: string;
  readonly #today: () => string;
  #day = "";
  #rows = new Map<string, { -readonly [K in keyof UsageRow]: UsageRow[K] }>();
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<unknown> = Promise.resolve();

  constructor(fleet: Fleet, today = (): string => new Date().toISOString().slice(0, 10)) {
    this.#bucket = usageBucket(fleet);
    this.#client = fleet.client;
    this.#today = today;
  }

  /** Adds an attempt, and what it was charged. */
  add(
    { agent, model, ok }: { agent: string; model: string; ok: boolean },
    usage: Usage | undefined,
    nanoUsd: number,
  ): void {
    const day = this.#today();
    if (day !== this.#day) {
      void this.flush();
      this.#rows = new Map();
      this.#day = day;
    }
    const key = `${agent}\u0000${model}`;
    let row = this.#rows.get(key);
    if (row === undefined) {
      const none = { calls: 0, failed: 0, inputTokens: 0, outputTokens: 0, nanoUsd: 0 };
      this.#rows.set(key, (row = { agent, model, ...none }));
    }
    row.calls++;
    if (!ok) row.failed++;
    row.inputTokens += usage?.inputTokens ?? 0;
    row.outputTokens += usage?.outputTokens ?? 0;
    row.nanoUsd += nanoUsd;
    this.#timer ??= setTimeout(() => void this.flush(), WRITE_EVERY_MS).unref();
  }

  /** Writes what is not written yet. */
  flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#rows.size === 0) return Promise.resolve();
    const record: DayRecord = { rows: structuredClone([...this.#rows.values()]) };
    const key = `${this.#day}.${this.#client}`;
    const written = this.#writing.then(() => this.#bucket.put(key, record));
    // The next write holds everything that this one does.
    this.#writing = written.catch(() => undefined);
    return this.#writing.then(() => undefined);
  }
}

/** The bucket of the usage. */
export function usageBucket(fleet: Pick<Fleet, "bucket">): Bucket {
  return fleet.bucket("usage", { storage: "file" });
}

/** What the whole fleet has used on a day (`2026-11-26`, UTC), or since it began: one row per agent and deployment. */
export async function readUsage(bucket: Bucket, day?: string): Promise<UsageRow[]> {
  const keys = (await bucket.keys()).filter(
    (key) => day === undefined || key.startsWith(`${day}.`),
  );
  const records = await Promise.all(keys.map((key) => bucket.get(key)));
  const sums = new Map<string, UsageRow>();
  for (const row of records.flatMap(
    (entry) => (entry?.value as DayRecord | undefined)?.rows ?? [],
  )) {
    const key = `${row.agent}\u0000${row.model}`;
    const sum = sums.get(key);
    sums.set(key, sum === undefined ? row : add(sum, row));
  }
  return [...sums.values()].toSorted((a, b) => b.nanoUsd - a.nanoUsd || b.calls - a.calls);
}

function add(a: UsageRow, b: UsageRow): UsageRow {
  return {
    ...a,
    calls: a.calls + b.calls,
    failed: a.failed + b.failed,
    inputTokens: a.inputTokens + b.inputTokens,
    outputTokens: a.outputTokens + b.outputTokens,
    nanoUsd: a.nanoUsd + b.nanoUsd,
  };
}
