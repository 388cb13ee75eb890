import { Patience, type PatienceOptions } from "./patience.ts";
import type { StoredState } from "./state-record.ts";
import type { StateParts } from "./states.ts";

/** Options of reading a shared state. */
export interface ReadStateOptions extends PatienceOptions {
  /**
   * `strong` (default): nothing that was confirmed before the read began is missing, which costs one write of the broker, shared by
   * all reads that wait for one. `eventual`: what this process has heard, without asking anybody.
   */
  readonly consistency?: "strong" | "eventual";
}

/**
 * Reads from this process's copy. A strong read first lets a barrier be written, which takes its place in the log behind everything
 * that was confirmed before, and waits until the copy has got there: so it does not matter who answers, or what it knows.
 */
export class StateReads {
  readonly #name: string;
  readonly #parts: StateParts;

  constructor(name: string, parts: StateParts) {
    this.#name = name;
    this.#parts = parts;
  }

  async get(key: string, options: ReadStateOptions): Promise<StoredState | undefined> {
    return this.#read(options, () => this.#parts.replica.get(key));
  }

  async keys(options: ReadStateOptions): Promise<string[]> {
    return this.#read(options, () => this.#parts.replica.keys());
  }

  async strong(key: string, patience: Patience): Promise<StoredState | undefined> {
    await this.#settle(patience);
    return this.#parts.replica.get(key);
  }

  async #read<T>({ consistency, ...options }: ReadStateOptions, look: () => T): Promise<T> {
    const { replica } = this.#parts;
    if (consistency === "eventual" && replica.started) return look();
    using patience = new Patience(`State ${this.#name}: read`, options);
    if (consistency === "eventual") await patience.for(replica.start(patience.signal));
    else await this.#settle(patience);
    return look();
  }

  async #settle(patience: Patience): Promise<void> {
    const { replica, barrier } = this.#parts;
    await patience.for(replica.start(patience.signal));
    const sequence = await patience.for(barrier.write());
    await replica.reach(sequence, patience.signal);
    patience.demand();
  }
}
