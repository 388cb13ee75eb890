import {
  assignPartitions,
  partitionOf,
  shardConfig,
  type RingMember,
  type ShardEffect,
} from "@plexus/core";
import { Journal } from "./journal.ts";
import { LeaseStore } from "./lease-store.ts";
import { FAIR, type Weather } from "./network.ts";
import { Registry } from "./registry.ts";
import { ShardProcess, type Surroundings } from "./shard-process.ts";
import { Violation } from "./violation.ts";
import type { World } from "./world.ts";

export const TIMING = {
  ttlMs: 2_000,
  settleMs: 300,
  settleMaxMs: 1_500,
  silentMs: 6_000,
  quiesceMs: 3_000,
};
const REGISTRY_TTL_MS = 4_000;

/** Within this, everything has found its owner: the longest chain of waits that faults leave behind, by slow clocks. */
const LIVENESS_MS =
  1.5 *
  (REGISTRY_TTL_MS + TIMING.silentMs + TIMING.settleMaxMs + TIMING.quiesceMs + 3 * TIMING.ttlMs);

/** What a schedule's clocks and network allow to be demanded of it. */
export interface Demands {
  /** Half the difference between the slowest and the fastest clock's rate. */
  readonly clockSpread: number;
  /** Leases of two processes never overlap. Not so with clocks that differ by more than the margin: the fence remains. */
  readonly exclusive: boolean;
  /** Longest time for which a partition that was served is not, in ms. */
  readonly maxGapMs: number;
}

/** All processes of a simulated agent, and the invariants. */
export class ShardCluster {
  readonly world: World;
  readonly partitions: number;
  readonly weather: Weather = { ...FAIR };
  readonly processes: ShardProcess[] = [];
  /** How often each reason dropped a partition. */
  readonly drops: Record<string, number> = {};
  readonly #demands: Demands;
  readonly #store = new LeaseStore();
  readonly #registry: Registry;
  readonly #journal: Journal;
  readonly #epochs: number[] = [];
  /** Since when a partition that was served before is not. */
  readonly #unservedSince = new Map<number, number>();
  #loaded = true;
  #born = 0;

  constructor(world: World, partitions: number, demands: Demands) {
    this.world = world;
    this.partitions = partitions;
    this.#demands = demands;
    this.#registry = new Registry(world, REGISTRY_TTL_MS);
    this.#journal = new Journal(partitions);
    this.#load();
  }

  /** Those that run, or would if they were not paused, and do not leave. */
  get staying(): ShardProcess[] {
    return this.processes.filter(({ phase, leaving }) => phase !== "dead" && !leaving);
  }

  join(weight = 1): ShardProcess {
    const { world } = this;
    const around: Surroundings = {
      world,
      weather: this.weather,
      store: this.#store,
      registry: this.#registry,
      registryRenewMs: REGISTRY_TTL_MS / 3,
      journal: this.#journal,
      onEffect: (process, effect) => this.#observe(process, effect),
      onOpen: (process, partition) => this.#served(process, partition),
    };
    const self: RingMember = { id: `${++this.#born}-${world.whole(0, 1e6)}`, weight };
    world.note(`${self.id} joins`);
    const config = shardConfig({ self, partitions: this.partitions, ...TIMING });
    const { clockSpread } = this.#demands;
    const rate = 1 + world.between(-clockSpread, clockSpread);
    const process = new ShardProcess(around, config, rate);
    this.processes.push(process);
    return process;
  }

  crash(process: ShardProcess): void {
    this.world.note(`${process.self.id} crashes`);
    for (const partition of process.workers.keys()) {
      if (!this.#unservedSince.has(partition)) this.#unservedSince.set(partition, this.world.now);
    }
    process.crash();
  }

  /** Who serves each partition, by the belief of the processes. */
  owners(): (string | undefined)[] {
    return Array.from({ length: this.partitions }, (_, partition) => {
      const believers = this.processes.filter((process) => this.#believes(process, partition));
      return believers.length === 1 ? believers[0]!.self.id : undefined;
    });
  }

  /**
   * Ends the faults and the load, and demands that all partitions find the owners that the assignment gives them. First
   * the leases that were not renewed run out.
   */
  heal(): void {
    Object.assign(this.weather, FAIR);
    this.#loaded = false;
    for (const process of this.processes) {
      if (process.phase === "dead") continue;
      process.resume();
      if (!process.uplink.up) process.reconnect();
    }
    this.world.run(2 * TIMING.ttlMs);
    this.converge();
  }

  converge(): void {
    const deadline = this.world.now + LIVENESS_MS;
    for (let trouble = this.#trouble(); trouble !== undefined; trouble = this.#trouble()) {
      if (this.world.now > deadline) throw new Violation(`not settled in time: ${trouble}`);
      this.world.run(200);
    }
  }

  /** Demands that nothing moves any more. */
  stayPut(ms: number): void {
    const before = this.#epochs.join(" ");
    this.world.run(ms);
    if (this.#epochs.join(" ") !== before) throw new Violation("partitions move for no reason");
    this.converge();
  }

  /** Stops everyone, and demands that nothing is left behind. */
  stopAll(): void {
    for (const process of this.staying) process.stop();
    this.world.run(2 * TIMING.ttlMs);
    for (const process of this.processes) {
      if (process.phase !== "dead") throw new Violation(`${process.self.id} does not stop`);
    }
    for (let partition = 0; partition < this.partitions; partition++) {
      if (this.#store.get(partition)?.state !== "released") {
        throw new Violation(`the lease of partition ${partition} was not given back`);
      }
    }
  }

  #trouble(): string | undefined {
    const members = this.staying.map(({ self }) => self);
    const owners = this.owners();
    const due = assignPartitions(members, this.partitions, owners);
    if (!this.#loaded && !this.#journal.complete) return "commands are not recorded";
    for (const [partition, owner] of owners.entries()) {
      if (owner === undefined) return `partition ${partition} has no owner, or several`;
      if (owner !== due[partition]) return `partition ${partition} is ${due[partition]}'s`;
      const lease = this.#store.get(partition);
      if (lease?.state !== "held" || lease.owner !== owner)
        return `${partition}'s lease is another's`;
    }
    if (this.#registry.members().length !== members.length) return "the registry keeps the dead";
    for (const { self, phase, machine, workers } of this.processes) {
      if (phase === "dead") continue;
      const status = machine.status();
      const claimed = status.filter(({ claim }) => claim !== "none");
      if (claimed.some(({ claim }) => claim !== "owned")) return `${self.id} is not done`;
      if (claimed.length !== workers.size) return `${self.id} has workers without claims`;
      if (status.some(({ target }, partition) => target !== owners[partition])) {
        return `${self.id} would have it otherwise`;
      }
    }
    return undefined;
  }

  #believes(process: ShardProcess, partition: number): boolean {
    const { phase, machine } = process;
    return phase !== "dead" && machine.epoch(partition, process.clock()) !== undefined;
  }

  #observe(process: ShardProcess, effect: ShardEffect): void {
    if (effect.type === "stopped") return this.world.note(`${process.self.id} has stopped`);
    const { type, partition } = effect;
    const number = "epoch" in effect ? effect.epoch : effect.expectedRevision;
    const reason =
      type === "drop" ? ` ${effect.reason}` : type === "release" ? ` to ${effect.heir}` : "";
    if (type !== "renew") this.world.note(`${process.self.id} ${type}${reason}`, partition, number);
    if (type === "start") this.#started(process, partition, effect.epoch);
    // Nobody else was there: no hand-off, but an end, and a new beginning when somebody comes.
    if (type === "release" && effect.heir === undefined) this.#unservedSince.delete(partition);
    if (type === "drop") this.drops[effect.reason] = (this.drops[effect.reason] ?? 0) + 1;
    if ((type === "drop" || type === "quiesce") && !this.#unservedSince.has(partition)) {
      this.#unservedSince.set(partition, this.world.now);
    }
  }

  #started(process: ShardProcess, partition: number, epoch: number): void {
    const last = this.#epochs[partition] ?? 0;
    this.#epochs[partition] = epoch;
    if (!process.believes(partition, epoch)) {
      throw new Violation(
        `${process.self.id} starts partition ${partition}, which it does not own`,
      );
    }
    if (!this.#demands.exclusive) return;
    if (epoch <= last) throw new Violation(`partition ${partition}: epoch ${epoch} after ${last}`);
    const other = this.processes.find((one) => one !== process && this.#believes(one, partition));
    if (other) {
      throw new Violation(
        `${other.self.id} and ${process.self.id} both own partition ${partition}`,
      );
    }
  }

  #served(process: ShardProcess, partition: number): void {
    if (!this.#believes(process, partition)) return;
    const since = this.#unservedSince.get(partition);
    this.#unservedSince.delete(partition);
    if (since === undefined) return;
    const gap = this.world.now - since;
    this.world.note(`${process.self.id} serves`, partition, gap);
    if (gap > this.#demands.maxGapMs) {
      throw new Violation(`partition ${partition} was not served for ${Math.round(gap)} ms`);
    }
  }

  #load(): void {
    this.world.after(this.world.between(10, 60), () => {
      if (!this.#loaded) return;
      const key = `key-${this.world.whole(0, 99)}`;
      this.#journal.submit(partitionOf(key, this.partitions), key);
      this.#load();
    });
  }
}
