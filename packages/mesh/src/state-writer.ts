import { setTimeout as sleep } from "node:timers/promises";
import { MeshError, backoffMs, isMeshError, type Backoff } from "@plexus/core";
import { isUndecided } from "./nats/jetstream-error.ts";
import type { StateStore } from "./nats/state-store.ts";
import type { Patience } from "./patience.ts";
import type { Runtime } from "./runtime.ts";
import { carriedOver, fateOf, type StateRecord, type StoredState } from "./state-record.ts";
import { isPassing, untilConnected } from "./surely.ts";

/** What a write puts on top of what it found. */
export interface Change {
  /** Undefined: nothing, what was there is removed. */
  readonly value: unknown;
  readonly ttlMs: number;
  /** The writer's fencing token; undefined: it has none. */
  readonly fence: number | undefined;
}

/** How one attempt ended: it counts, or something else is there. */
export type Attempt =
  | { readonly kind: "stored"; readonly stored: StoredState }
  | { readonly kind: "conflict"; readonly found: StoredState | undefined };

/** What a writer needs to know, and tells. */
export interface WriterOptions {
  /** Whether what stands under a key can vanish by itself. */
  readonly mayExpire: boolean;
  /** An attempt has ended. */
  ended(attempt: Attempt): void;
}

const BETWEEN: Backoff = { firstMs: 5, maxMs: 500, factor: 2 };
const UNDECIDED_MS = 2;
const LAG_MS = 10; // before somebody who is behind is asked again
const PAUSE_MS = 50;

/**
 * Puts records on top of records, each on the condition that nothing else has come between. A write of unknown fate is sent
 * again as it is: at most one of the two can meet the condition, and what stands there afterwards tells whether one did.
 */
export class StateWriter {
  readonly #runtime: Runtime;
  readonly #store: StateStore;
  readonly #options: WriterOptions;
  readonly #turns = new Map<string, Promise<unknown>>();
  #ops = 0;

  constructor(runtime: Runtime, store: StateStore, options: WriterOptions) {
    this.#runtime = runtime;
    this.#store = store;
    this.#options = options;
  }

  /** Runs the writes of a key one after the other: a writer has one write of unknown fate at most. */
  inTurn<T>(key: string, work: () => Promise<T>): Promise<T> {
    const turn = (this.#turns.get(key) ?? Promise.resolve()).then(work, work);
    const settled = turn.catch(() => undefined);
    this.#turns.set(key, settled);
    void settled.finally(() => {
      if (this.#turns.get(key) === settled) this.#turns.delete(key);
    });
    return turn;
  }

  /** Waits as long as it is wise before attempt n + 1 after a conflict. */
  async backOff(attempt: number, patience: Patience): Promise<void> {
    await sleep(backoffMs(BETWEEN, attempt, Math.random));
    patience.demand();
  }

  /** Rejects with `FENCED`, with `TIMEOUT` when it may or may not count, and with whatever the broker refuses it for. */
  async put(
    key: string,
    base: StoredState | undefined,
    { value, ttlMs, fence }: Change,
    patience: Patience,
  ): Promise<Attempt> {
    const { client } = this.#runtime;
    const before = base?.record.fence ?? 0;
    if (fence !== undefined && fence < before) throw fenced(key, fence, base!);
    const record: StateRecord = {
      key,
      value,
      by: client,
      op: ++this.#ops,
      fence: fence ?? before,
      ttlMs,
      past: carriedOver(base, client),
    };
    const attempt = await this.#land(record, base?.revision ?? 0, patience);
    this.#options.ended(attempt);
    return attempt;
  }

  /** What stands under a key, as whoever leads now believes; asked until somebody answers. */
  async read(key: string, patience: Patience): Promise<StoredState | undefined> {
    for (;;) {
      patience.demand();
      try {
        return await patience.for(this.#store.read(key));
      } catch (error) {
        if (patience.signal.aborted || !isPassing(error) || this.#runtime.link.closed) throw error;
        await untilConnected(this.#runtime, PAUSE_MS);
      }
    }
  }

  async #land(record: StateRecord, expected: number, patience: Patience): Promise<Attempt> {
    let doubtful = false;
    for (;;) {
      if (patience.signal.aborted) throw doubtful ? patience.doubtful() : patience.signal.reason;
      try {
        const revision = await patience.for(this.#store.write(record, expected));
        return landed(record, revision);
      } catch (error) {
        if (error === patience.signal.reason) throw patience.doubtful();
        if (isUndecided(error)) {
          await sleep(UNDECIDED_MS * (0.5 + Math.random()));
          continue;
        }
        if (isMeshError(error, "CONFLICT")) {
          const ended = await this.#afterConflict(record, expected, doubtful, patience);
          if (ended) return ended;
          continue; // who refused it was behind
        }
        if (!isPassing(error) || this.#runtime.link.closed) throw error;
        doubtful ||= !isUnsent(error);
        await untilConnected(this.#runtime, PAUSE_MS);
      }
    }
  }

  /** Undefined: there is still what was expected. */
  async #afterConflict(
    record: StateRecord,
    expected: number,
    doubtful: boolean,
    patience: Patience,
  ): Promise<Attempt | undefined> {
    for (;;) {
      // Again only while who answers is behind.
      let found: StoredState | undefined;
      try {
        found = await this.read(record.key, patience);
      } catch (error) {
        throw doubtful ? patience.doubtful() : error;
      }
      const revision = found?.revision ?? 0;
      if (revision === expected) return undefined;
      if (revision > expected) {
        const fate = doubtful ? fateOf(found!, record.by, record.op) : false;
        if (fate === "unknown") throw patience.doubtful();
        if (fate === false) return { kind: "conflict", found };
        return landed(record, fate);
      }
      // Nothing there where something was: it has expired, or who answers is behind.
      if (found === undefined && this.#options.mayExpire) {
        if (doubtful) throw patience.doubtful();
        return { kind: "conflict", found };
      }
      await sleep(LAG_MS);
    }
  }
}

/** Nothing has left this process, or it came to nobody. */
function isUnsent(error: MeshError): boolean {
  return error.code === "NOT_CONNECTED" && error.details === undefined;
}

function landed(record: StateRecord, revision: number): Attempt {
  return { kind: "stored", stored: { record, revision, storedAt: Date.now() } };
}

function fenced(key: string, fence: number, { record }: StoredState): MeshError {
  const text = `State key ${key}: fencing token ${fence} is older than ${record.fence}, which ${record.by} has written with.`;
  return new MeshError("FENCED", text, { details: { fence: record.fence, by: record.by } });
}
