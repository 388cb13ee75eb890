import { MeshError, toMs, type Duration, type State } from "@plexus/core";
import type { z } from "zod";
import { Patience, type PatienceOptions } from "./patience.ts";
import type { StoredState } from "./state-record.ts";
import { StateReads, type ReadStateOptions } from "./state-reads.ts";
import type { StateParts } from "./states.ts";
import type { Attempt, Change, StateWriter } from "./state-writer.ts";

/** What stands under a key of a shared state. */
export interface StateEntry<Value> {
  readonly key: string;
  readonly value: Value;
  /** Of the write that put it there; rises with every write to the state. */
  readonly revision: number;
  /** The connection that wrote it: its `mesh.client`. */
  readonly by: string;
}

/** A change of a key; `value` is undefined for what is gone. */
export type StateChange<Value> = Omit<StateEntry<Value>, "value"> & {
  readonly value: Value | undefined;
};

/** Options of everything that writes to a shared state. */
export interface WriteStateOptions extends PatienceOptions {
  /** How long the value is kept, to a whole second. Only in memory. Default: the contract's. */
  readonly ttl?: Duration;
  /**
   * A fencing token, such as a lock's. The key remembers the highest one and refuses lower ones with `FENCED`; writes without one
   * are not checked.
   */
  readonly fence?: number;
}

/**
 * Small values that the processes of a mesh share, checked by their contract's schema. Writes of a key, compare-and-swap and strong
 * reads are linearizable; what each costs is in CONSISTENCY.md. Everything rejects with `NOT_CONNECTED` or `TIMEOUT` when the
 * broker does not answer, and `CANCELED`; after `TIMEOUT` of a write it may or may not be written.
 */
export interface SharedState<S extends z.ZodType> {
  /** What stands there. `strong` (default): no write that was confirmed before is missing. `eventual`: as this process has heard. */
  get(key: string, options?: ReadStateOptions): Promise<StateEntry<z.output<S>> | undefined>;
  /** Writes, whatever is there. */
  set(
    key: string,
    value: z.input<S>,
    options?: WriteStateOptions,
  ): Promise<StateEntry<z.output<S>>>;
  /**
   * Writes if what is there has this revision (0: if there is nothing). Rejects with `CONFLICT`, whose details say what is there,
   * and with `FENCED`.
   */
  compareAndSwap(
    key: string,
    revision: number,
    value: z.input<S>,
    options?: WriteStateOptions,
  ): Promise<StateEntry<z.output<S>>>;
  /**
   * Replaces what is there (undefined: nothing) by what `change` makes of it (undefined: removes it), once, even if answers are
   * lost. `change` runs again whenever somebody else was faster, so it should do nothing else.
   */
  update(
    key: string,
    change: (value: z.output<S> | undefined) => z.input<S> | undefined,
    options?: WriteStateOptions,
  ): Promise<StateEntry<z.output<S>> | undefined>;
  /** Removes what is there. False: there was nothing. */
  remove(key: string, options?: WriteStateOptions): Promise<boolean>;
  /** The keys that have a value. */
  keys(options?: ReadStateOptions): Promise<string[]>;
  /**
   * Tells what stands under one key, or all, then every change, as this process hears of it. What is overwritten while there is no
   * connection may be left out; the last value is told. Returns what ends it, as aborting `signal` does.
   */
  watch(
    listener: (change: StateChange<z.output<S>>) => void,
    options?: { readonly key?: string; readonly signal?: AbortSignal },
  ): Promise<() => void>;
}

/** One process's access to a shared state. */
export class StateAccess implements SharedState<z.ZodType> {
  readonly #contract: State;
  readonly #parts: StateParts;
  readonly #reads: StateReads;

  constructor(contract: State, parts: StateParts) {
    this.#contract = contract;
    this.#parts = parts;
    this.#reads = new StateReads(contract.name, parts);
  }

  async get(key: string, options: ReadStateOptions = {}): Promise<StateEntry<unknown> | undefined> {
    const found = await this.#reads.get(key, options);
    return found?.record.value === undefined ? undefined : this.#entry(found);
  }

  async set(
    key: string,
    value: unknown,
    options: WriteStateOptions = {},
  ): Promise<StateEntry<unknown>> {
    return (await this.update(key, () => value, options))!;
  }

  async compareAndSwap(
    key: string,
    revision: number,
    value: unknown,
    options: WriteStateOptions = {},
  ): Promise<StateEntry<unknown>> {
    const change = this.#change(value, options);
    if (value === undefined) throw new MeshError("INVALID_INPUT", "There is no value to write.");
    if (!Number.isSafeInteger(revision) || revision < 0) {
      throw new MeshError("INVALID_INPUT", `${revision} is not a revision.`);
    }
    return this.#writing(key, options, async (patience, writer) => {
      const base = await this.#expect(key, revision, patience, writer);
      const attempt =
        presentRevision(base) === revision
          ? await writer.put(key, base, change, patience)
          : ({ kind: "conflict", found: base } as const);
      if (attempt.kind === "stored") return this.#entry(attempt.stored);
      throw this.#conflict(key, revision, attempt.found);
    });
  }

  async update(
    key: string,
    change: (value: unknown) => unknown,
    options: WriteStateOptions = {},
  ): Promise<StateEntry<unknown> | undefined> {
    return this.#writing(key, options, async (patience, writer) => {
      let base = this.#parts.replica.get(key) ?? (await writer.read(key, patience));
      for (let attempt = 1; ; attempt++) {
        // Again only if somebody else was faster.
        let made: Change | undefined;
        let failure: unknown;
        try {
          const value = change(base && this.#entry(base).value);
          made = this.#change(value, options);
        } catch (error) {
          failure = error;
        }
        if (made !== undefined && (made.value !== undefined || base?.record.value !== undefined)) {
          const outcome: Attempt = await writer.put(key, base, made, patience);
          if (outcome.kind === "stored") {
            return made.value === undefined ? undefined : this.#entry(outcome.stored);
          }
          base = outcome.found;
          await writer.backOff(attempt, patience);
          continue;
        }
        // Nothing will be written, so nothing would show that what was seen is old.
        const now = await this.#reads.strong(key, patience);
        if (now?.revision === base?.revision) {
          if (made === undefined) throw failure;
          return undefined;
        }
        base = now;
      }
    });
  }

  async remove(key: string, options: WriteStateOptions = {}): Promise<boolean> {
    let present = false;
    const note = (value: unknown): undefined => {
      present = value !== undefined;
    };
    await this.update(key, note, options);
    return present;
  }

  keys(options: ReadStateOptions = {}): Promise<string[]> {
    return this.#reads.keys(options);
  }

  async watch(
    listener: (change: StateChange<unknown>) => void,
    { key, signal }: { readonly key?: string; readonly signal?: AbortSignal } = {},
  ): Promise<() => void> {
    const { replica, log } = this.#parts;
    using patience = new Patience(`State ${this.#contract.name}: watch`, { signal });
    await patience.for(replica.start(patience.signal));
    const stop = replica.watch((found) => {
      if (key !== undefined && found.record.key !== key) return;
      try {
        listener(this.#entry(found));
      } catch (error) {
        log.error({ err: error, state: this.#contract.name }, "a listener of a state failed");
      }
    });
    signal?.addEventListener("abort", stop, { once: true });
    return () => {
      signal?.removeEventListener("abort", stop);
      stop();
    };
  }

  #writing<T>(
    key: string,
    options: WriteStateOptions,
    work: (patience: Patience, writer: StateWriter) => Promise<T>,
  ): Promise<T> {
    const { writer } = this.#parts;
    const patience = new Patience(`State ${this.#contract.name}, key ${key}`, options);
    const done = writer.inTurn(key, async () => {
      patience.demand();
      return work(patience, writer);
    });
    return done.finally(() => patience[Symbol.dispose]());
  }

  /** What is to be replaced: of that revision or, for sure, of another one. */
  async #expect(
    key: string,
    revision: number,
    patience: Patience,
    writer: StateWriter,
  ): Promise<StoredState | undefined> {
    const known = this.#parts.replica.get(key);
    if (known !== undefined && presentRevision(known) === revision) return known;
    const found = await writer.read(key, patience);
    const present = presentRevision(found);
    // A higher revision is the truth, whoever tells; a lower one, or none, may be an old tale.
    if (present === revision || (revision > 0 && present > revision)) return found;
    return this.#reads.strong(key, patience);
  }

  #change(value: unknown, { ttl, fence }: WriteStateOptions): Change {
    const { name, schema, storage, ttlMs } = this.#contract;
    if (ttl !== undefined && storage === "file") {
      throw new MeshError(
        "INVALID_CONTRACT",
        `State ${name} is on file: only what is in memory (storage: memory) can have a ttl.`,
      );
    }
    if (fence !== undefined && (!Number.isSafeInteger(fence) || fence < 1)) {
      throw new MeshError("INVALID_INPUT", `State ${name}: ${fence} is not a fencing token.`);
    }
    const kept = ttl === undefined ? (ttlMs ?? 0) : toMs(ttl);
    if (value === undefined) return { value, ttlMs: 0, fence };
    const parsed = schema.safeParse(value);
    if (!parsed.success) {
      throw new MeshError("INVALID_INPUT", `State ${name}: ${parsed.error.message}`);
    }
    // As it was given: whoever reads it parses it, and parsing twice would apply transforms twice.
    return { value, ttlMs: kept, fence };
  }

  #entry({ record: { key, value, by }, revision }: StoredState): StateEntry<unknown> {
    if (value === undefined) return { key, value, by, revision };
    const parsed = this.#contract.schema.safeParse(value);
    if (parsed.success) return { key, value: parsed.data, by, revision };
    throw new MeshError(
      "INVALID_OUTPUT",
      `State ${this.#contract.name}, key ${key}: what ${by} has written is not what the schema says: ${parsed.error.message}`,
    );
  }

  #conflict(key: string, expected: number, found: StoredState | undefined): MeshError {
    const revision = presentRevision(found);
    const there =
      revision === 0 ? "nothing is there" : `revision ${revision} by ${found!.record.by} is there`;
    return new MeshError(
      "CONFLICT",
      `State ${this.#contract.name}, key ${key}: revision ${expected} was expected, but ${there}.`,
      { details: { revision, ...(revision === 0 ? {} : { by: found!.record.by }) } },
    );
  }
}

/** The revision that users know: 0 where the record says that nothing is there. */
function presentRevision(found: StoredState | undefined): number {
  return found?.record.value === undefined ? 0 : found.revision;
}
