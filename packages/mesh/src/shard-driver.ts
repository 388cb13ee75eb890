import {
  ShardMachine,
  holderOf,
  isMeshError,
  shardConfig,
  type DropReason,
  type Entity,
  type LeaseEffect,
  type RingMember,
  type SeenLease,
  type ShardEffect,
  type ShardInput,
  type WriteOutcome,
} from "@plexus/core";
import { nowMs } from "./clock.ts";
import type { LeaseEntry, LeaseStore } from "./nats/lease-store.ts";
import type { RollCall } from "./roll-call.ts";
import type { Runtime } from "./runtime.ts";
import { decodeShard, encodeShard, partitionOfKey, shardKey, type Tenure } from "./shard-record.ts";

/** What happens to the partitions of an entity in this process. */
export interface ShardWork {
  /** This process owns the partition from now on. */
  start(partition: number, epoch: number): void;
  /** Somebody else is to have it: begin nothing more, and tell when what runs has ended. */
  quiesce(partition: number, quiesced: () => void): void;
  /** It is not this process's any more; unless `released`, abort what still runs. */
  drop(partition: number, reason: DropReason): void;
  /** Time passes; every 100 ms. */
  tick(now: number): void;
}

const TICK_MS = 100;
const WRITE_TIMEOUT_MS = 1_000;
const RETRY_MS = 250;
const RENEWALS = 4; // at a time, if there are not too many …
const RENEWALS_MS = 4; // … and then so long none

/** Carries out for one hosted entity what its {@link ShardMachine} wants: leases, members and time in, partitions out. */
export class ShardDriver {
  readonly #runtime: Runtime;
  readonly #store: LeaseStore;
  readonly #entity: string;
  readonly #partitions: number;
  readonly #self: RingMember;
  readonly #machine: ShardMachine;
  readonly #work: ShardWork;
  readonly #rollCall: RollCall;
  readonly #inputs: ShardInput[] = [];
  readonly #renewals: LeaseEffect[] = [];
  #renewing: NodeJS.Timeout | undefined;
  readonly #tenures = new Map<number, Tenure>();
  /** The newest record of each partition, whether it was read or told. */
  readonly #newest = new Map<number, SeenLease>();
  readonly #ttlMs: number;
  readonly #running = new Set<number>();
  readonly #stopped = Promise.withResolvers<void>();
  #stopping = false;
  #giveUp: NodeJS.Timeout | undefined;
  #handling = false;
  #syncing = false;
  #syncAgain = false;
  #ended = false;
  #timer: NodeJS.Timeout | undefined;
  #cleanup: (() => void)[] = [];

  constructor(
    runtime: Runtime,
    store: LeaseStore,
    entity: Entity,
    self: RingMember,
    work: ShardWork,
    rollCall: RollCall,
  ) {
    this.#runtime = runtime;
    this.#store = store;
    this.#entity = entity.name;
    this.#self = self;
    this.#work = work;
    this.#rollCall = rollCall;
    const { partitions, leaseMs: ttlMs } = entity;
    this.#partitions = partitions;
    this.#ttlMs = ttlMs;
    this.#machine = new ShardMachine(shardConfig({ self, partitions, ttlMs }));
  }

  /** Begins to take part. This process must be in the registry. */
  start(): void {
    const { directory } = this.#runtime;
    this.#cleanup = [
      this.#store.follow(shardKey(this.#entity, "*"), (entry, key) => {
        const partition = this.#partitionOf(key);
        if (partition !== undefined) this.#see(partition, entry);
      }),
      directory.watch(({ instance }) => {
        if (instance.agent === this.#entity) this.#members();
      }),
    ];
    this.#members();
    this.sync();
    this.#timer = setInterval(() => {
      this.#input({ type: "tick" });
      this.#work.tick(nowMs());
    }, TICK_MS);
  }

  /** Whether this process may act for the partition under this epoch. */
  owns(partition: number, epoch: number): boolean {
    return this.#machine.epoch(partition, nowMs()) === epoch;
  }

  /** The connection broke: nobody hears what happens to the leases. */
  disconnected(): void {
    this.#input({ type: "disconnected" });
  }

  /** Reads all leases: at the beginning, and whenever some news may have been missed. */
  sync(): void {
    this.#syncAgain = true;
    if (!this.#syncing) void this.#sync();
  }

  /**
   * Hands everything over; resolves when that is done, or would be of no use any more as the leases have run out. This process
   * must have left the registry.
   */
  stop(): Promise<void> {
    this.#stopping = true;
    this.#input({ type: "stop" });
    this.#expire();
    return this.#stopped.promise;
  }

  /** Ends at once, without handing anything over: what is held runs out. */
  close(): void {
    if (this.#ended) return;
    this.#ended = true;
    clearInterval(this.#timer);
    clearTimeout(this.#giveUp);
    clearTimeout(this.#renewing);
    for (const end of this.#cleanup) end();
    this.#rollCall.close();
    this.#stopped.resolve();
  }

  async #sync(): Promise<void> {
    this.#syncing = true;
    while (this.#syncAgain && !this.#ended) {
      this.#syncAgain = false;
      try {
        // Again only if more was missed.
        const before = new Map(this.#newest);
        const keys = await this.#store.keys(shardKey(this.#entity, "*").slice(0, -2));
        const reading = keys.map(async (key) => {
          const partition = this.#partitionOf(key);
          const entry = partition === undefined ? undefined : await this.#store.read(key);
          if (entry === undefined) return;
          before.delete(partition!);
          this.#note(partition!, entry);
        });
        await Promise.all(reading);
        // Records are never removed: the broker has lost its disk. Whoever wants such a partition begins it anew.
        for (const [partition, lease] of before) {
          if (this.#newest.get(partition) === lease) this.#newest.delete(partition);
        }
        const leases = [...this.#newest.values()];
        if (this.#runtime.link.connected) this.#input({ type: "synced", leases });
      } catch (error) {
        this.#syncAgain = true;
        this.#runtime.log.debug({ err: error, entity: this.#entity }, "leases cannot be read yet");
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
    this.#syncing = false;
  }

  #members(): void {
    const members = [...this.#runtime.directory.peers()]
      .filter(({ info }) => info.agent === this.#entity)
      .map(({ id, weight }) => ({ id, weight }));
    this.#input({ type: "members", members });
  }

  #partitionOf(key: string): number | undefined {
    const partition = partitionOfKey(key);
    return partition !== undefined && partition < this.#partitions ? partition : undefined;
  }

  #see(partition: number, entry: LeaseEntry): void {
    this.#input({ type: "seen", ...this.#note(partition, entry) });
  }

  /** What was read may be older than what the broker has told of meanwhile. */
  #note(partition: number, entry: LeaseEntry): SeenLease {
    const newest = this.#newest.get(partition);
    if (newest && newest.revision >= entry.revision) return newest;
    const { tenure: _, ...lease } = decodeShard(partition, entry);
    this.#newest.set(partition, lease);
    return lease;
  }

  /** Effects may bring about inputs, which wait until all effects of the one before are carried out. */
  #input(input: ShardInput): void {
    if (this.#ended) return;
    this.#inputs.push(input);
    if (this.#handling) return;
    this.#handling = true;
    try {
      for (let next = this.#inputs.shift(); next; next = this.#inputs.shift()) {
        for (const effect of this.#machine.handle(next, nowMs())) this.#carryOut(effect);
      }
    } finally {
      this.#handling = false;
    }
  }

  #carryOut(effect: ShardEffect): void {
    switch (effect.type) {
      case "acquire":
      case "release":
        if (effect.type === "release" && effect.heir !== undefined) {
          this.#rollCall.one(effect.heir);
        }
        void this.#write(effect);
        return;
      case "renew":
        this.#renewals.push(effect);
        this.#renewing ??= setTimeout(() => this.#renew(), 0);
        return;
      case "start":
        this.#running.add(effect.partition);
        this.#work.start(effect.partition, effect.epoch);
        return;
      case "quiesce":
        this.#work.quiesce(effect.partition, () => this.#input({ ...effect, type: "quiesced" }));
        return;
      case "drop":
        this.#running.delete(effect.partition);
        this.#work.drop(effect.partition, effect.reason);
        this.#expire();
        return;
      case "stopped":
        this.close();
    }
  }

  /** Who has stopped and cannot tell need not try for longer than the others wait. */
  #expire(): void {
    if (!this.#stopping || this.#ended || this.#running.size > 0) return;
    this.#giveUp ??= setTimeout(() => this.close(), this.#ttlMs);
  }

  /** What was acquired together is due together, and would hold up commands if it were all written at once. */
  #renew(): void {
    const inTime = (this.#renewals.length * RENEWALS_MS) / (this.#ttlMs / 20);
    const now = this.#renewals.splice(0, Math.max(RENEWALS, Math.ceil(inTime)));
    for (const effect of now) void this.#write(effect);
    const more = this.#renewals.length > 0;
    this.#renewing = more ? setTimeout(() => this.#renew(), RENEWALS_MS) : undefined;
  }

  async #write(effect: LeaseEffect): Promise<void> {
    const { partition, write, expectedRevision } = effect;
    const key = shardKey(this.#entity, partition);
    if (effect.type === "acquire") {
      const from = this.#newest.get(partition)?.record?.owner;
      this.#tenures.set(partition, { since: Date.now(), from });
    }
    const tenure = this.#tenures.get(partition) ?? { since: Date.now(), from: undefined };
    const value = encodeShard(effect, this.#self.id, tenure);
    const before = this.#newest.get(partition)?.record;
    let outcome: WriteOutcome;
    try {
      const revision = await this.#store.write(key, value, expectedRevision, WRITE_TIMEOUT_MS);
      outcome = { type: "written", revision };
      const named = holderOf(before);
      if (effect.type === "acquire" && named !== undefined && named !== this.#self.id) {
        this.#rollCall.all(); // it was that one's
      }
    } catch (error) {
      outcome = { type: isMeshError(error, "CONFLICT") ? "conflict" : "unknown" };
    }
    this.#input({ type: "wrote", partition, write, outcome });
    if (outcome.type === "conflict") await this.#read(partition);
  }

  /** What stands there that was not expected. */
  async #read(partition: number): Promise<void> {
    try {
      const entry = await this.#store.read(shardKey(this.#entity, partition));
      if (entry) this.#see(partition, entry);
      else this.sync(); // there is nothing any more
    } catch (error) {
      this.#runtime.log.debug({ err: error, partition }, "a lease cannot be read");
    }
  }
}
