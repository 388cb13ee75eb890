import type { Entity } from "@plexus/core";
import { ActiveKey } from "./active-key.ts";
import type { EntityServices } from "./entity-services.ts";
import type { PartitionLog } from "./partition-log.ts";

const MAX_KEYS = 10_000;
const MAX_REMEMBERED = 500_000; // ids of commands, over all keys

/** The keys of one partition that are in memory, those that were used last at the end. */
export class ActiveKeys {
  readonly #services: EntityServices;
  readonly #contract: Entity;
  readonly #log: PartitionLog;
  readonly #partition: number;
  readonly #passivateMs: number;
  readonly #keys = new Map<string, ActiveKey>();

  /** @param passivateMs how long a key that nobody uses stays in memory */
  constructor(
    services: EntityServices,
    contract: Entity,
    log: PartitionLog,
    partition: number,
    passivateMs: number,
  ) {
    this.#services = services;
    this.#contract = contract;
    this.#log = log;
    this.#partition = partition;
    this.#passivateMs = passivateMs;
  }

  get size(): number {
    return this.#keys.size;
  }

  /** Runs `work` on a key when everything before it has ended there; rejects if the key cannot be loaded. */
  inTurn<T>(key: string, work: (active: ActiveKey) => Promise<T>): Promise<T> {
    const active = this.#keys.get(key) ?? this.#load(key);
    this.#keys.delete(key);
    this.#keys.set(key, active);
    return active.inTurn(() => work(active));
  }

  /** Forgets keys that nobody has used for a while, and more if there are too many. */
  passivate(now: number): void {
    let remembered = 0;
    for (const active of this.#keys.values()) remembered += active.remembered;
    for (const [key, active] of this.#keys) {
      const tooMuch = this.#keys.size > MAX_KEYS || remembered > MAX_REMEMBERED;
      if (!tooMuch && now - active.usedMs < this.#passivateMs) return; // the others were used later
      if (active.pending > 0) continue;
      this.#keys.delete(key);
      remembered -= active.remembered;
    }
  }

  #load(key: string): ActiveKey {
    if (this.#keys.size >= MAX_KEYS) this.#makeRoom();
    const active = new ActiveKey(this.#services, this.#contract, this.#log, this.#partition, key);
    active.loaded.catch(() => {
      if (this.#keys.get(key) === active) this.#keys.delete(key); // whoever comes next loads it anew
    });
    return active;
  }

  #makeRoom(): void {
    for (const [key, { pending }] of this.#keys) {
      if (pending > 0) continue;
      this.#keys.delete(key);
      return;
    }
  }
}
