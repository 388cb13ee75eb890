import {
  ShardMachine,
  recordAfter,
  type LeaseEffect,
  type RingMember,
  type SeenLease,
  type ShardConfig,
  type ShardEffect,
  type ShardInput,
} from "@plexus/core";
import type { Journal } from "./journal.ts";
import type { LeaseStore } from "./lease-store.ts";
import { Uplink, type Weather } from "./network.ts";
import type { Registry } from "./registry.ts";
import { Violation } from "./violation.ts";
import { Worker, type WorkerSite } from "./worker.ts";
import type { World } from "./world.ts";

const TICK_MS = 100;
const WRITE_TIMEOUT_MS = 500;
const LINGER_MS = 100; // before the process ends, so that the registry hears that it leaves

/** Where a process runs, and who looks on. */
export interface Surroundings {
  readonly world: World;
  readonly weather: Weather;
  readonly store: LeaseStore;
  readonly registry: Registry;
  readonly registryRenewMs: number;
  readonly journal: Journal;
  /** An effect is carried out. */
  readonly onEffect: (process: ShardProcess, effect: ShardEffect) => void;
  /** A partition's worker is ready for commands. */
  readonly onOpen: (process: ShardProcess, partition: number) => void;
}

/** A process: a shard machine, a plain driver for it, a clock of its own, and the ways in which processes fail. */
export class ShardProcess implements WorkerSite {
  readonly self: RingMember;
  readonly machine: ShardMachine;
  readonly uplink: Uplink;
  readonly world: World;
  readonly journal: Journal;
  readonly workers = new Map<number, Worker>();
  phase: "running" | "paused" | "dead" = "running";
  leaving = false;
  readonly #around: Surroundings;
  readonly #clock: { readonly offset: number; readonly rate: number };
  readonly #inputs: ShardInput[] = [];
  #backlog: (() => void)[] = [];
  #handling = false;
  readonly #unwatch: readonly (() => void)[];

  constructor(around: Surroundings, config: ShardConfig, rate: number) {
    this.#around = around;
    this.self = config.self;
    this.world = around.world;
    this.journal = around.journal;
    this.machine = new ShardMachine(config);
    this.uplink = new Uplink(around.world, around.weather);
    this.#clock = { offset: around.world.between(0, 1e6), rate };
    const { store, registry } = around;
    this.#unwatch = [
      store.watch((lease) =>
        this.uplink.push(`lease ${lease.partition}`, () =>
          this.#receive({ type: "seen", ...lease }),
        ),
      ),
      registry.watch(() => {
        const members = registry.members();
        this.uplink.push("members", () => this.#receive({ type: "members", members }));
      }),
    ];
    this.#connect();
    this.#tick();
    this.#renewRegistration();
  }

  clock(): number {
    return this.#clock.offset + this.world.now * this.#clock.rate;
  }

  believes(partition: number, epoch: number): boolean {
    return this.machine.epoch(partition, this.clock()) === epoch;
  }

  inProcess(then: () => void): void {
    if (this.phase === "running") then();
    else if (this.phase === "paused") this.#backlog.push(then);
  }

  #connect(): void {
    const { store, registry } = this.#around;
    const find = (): { leases: SeenLease[]; members: RingMember[] } => ({
      leases: store.snapshot(),
      members: registry.members(),
    });
    this.uplink.connect(find, ({ leases, members }) => {
      this.#receive({ type: "members", members });
      this.#receive({ type: "synced", leases });
      this.inProcess(() => this.#register());
    });
  }

  /** @param noticed whether the process is told, or finds out when it connects again */
  disconnect(noticed: boolean): void {
    this.uplink.cut();
    if (noticed) this.#receive({ type: "disconnected" });
  }

  reconnect(): void {
    this.#receive({ type: "disconnected" });
    this.#connect();
  }

  pause(): void {
    this.phase = "paused";
  }

  /** What has arrived meanwhile is handled before or after the timers that are due. */
  resume(): void {
    if (this.phase !== "paused") return;
    this.phase = "running";
    if (this.world.chance(0.5)) this.#input({ type: "tick" });
    const backlog = this.#backlog;
    this.#backlog = [];
    for (const then of backlog) this.inProcess(then);
  }

  crash(): void {
    this.phase = "dead";
    this.uplink.cut();
    for (const unwatch of this.#unwatch) unwatch();
  }

  stop(): void {
    this.leaving = true;
    this.inProcess(() => {
      this.uplink.request(
        () => this.#around.registry.leave(this.self.id),
        () => {},
      );
      this.#input({ type: "stop" });
    });
  }

  #receive(input: ShardInput): void {
    this.inProcess(() => this.#input(input));
  }

  /** Effects may bring about inputs, which wait until all effects of the one before are carried out. */
  #input(input: ShardInput): void {
    this.#inputs.push(input);
    if (this.#handling) return;
    this.#handling = true;
    for (let next = this.#inputs.shift(); next; next = this.#inputs.shift()) {
      for (const effect of this.machine.handle(next, this.clock())) {
        this.#around.onEffect(this, effect);
        this.#carryOut(effect);
      }
    }
    this.#handling = false;
  }

  #carryOut(effect: ShardEffect): void {
    switch (effect.type) {
      case "acquire":
      case "renew":
      case "release":
        return this.#write(effect);
      case "start": {
        const { partition, epoch } = effect;
        const opened = (): void => this.#around.onOpen(this, partition);
        this.workers.set(partition, new Worker(this, partition, epoch, opened));
        return;
      }
      case "quiesce":
        this.workers
          .get(effect.partition)!
          .quiesce(() => this.#input({ ...effect, type: "quiesced" }));
        return;
      case "drop": {
        const worker = this.workers.get(effect.partition)!;
        if (effect.reason === "released" && worker.busy) {
          throw new Violation(`partition ${effect.partition} is released while a command runs`);
        }
        worker.abort();
        this.workers.delete(effect.partition);
        return;
      }
      case "stopped":
        return this.#later(LINGER_MS, () => this.crash());
    }
  }

  #write(effect: LeaseEffect): void {
    const { partition, write, expectedRevision } = effect;
    let ended = false;
    const end = (outcome: Extract<ShardInput, { type: "wrote" }>["outcome"]): void => {
      if (ended) return;
      ended = true;
      this.#input({ type: "wrote", partition, write, outcome });
    };
    this.uplink.request(
      () =>
        this.#around.store.write(partition, expectedRevision, (revision) =>
          recordAfter(effect, this.self.id, revision),
        ),
      (outcome) => this.inProcess(() => end(outcome)),
    );
    this.#later(WRITE_TIMEOUT_MS, () => end({ type: "unknown" }));
  }

  #tick(): void {
    if (this.phase === "running") this.#input({ type: "tick" });
    if (this.phase !== "dead") this.world.after(TICK_MS / this.#clock.rate, () => this.#tick());
  }

  #register(): void {
    if (this.leaving) return;
    this.uplink.request(
      () => this.#around.registry.renew(this.self),
      () => {},
    );
  }

  #renewRegistration(): void {
    this.world.after(this.#around.registryRenewMs, () => {
      if (this.phase === "running") this.#register();
      if (this.phase !== "dead") this.#renewRegistration();
    });
  }

  #later(ms: number, then: () => void): void {
    this.world.after(ms / this.#clock.rate, () => this.inProcess(then));
  }
}
