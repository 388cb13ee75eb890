import { MeshError, type Entity } from "@plexus/core";
import { ActiveKeys } from "./active-keys.ts";
import { nowMs } from "./clock.ts";
import { executeOnce, type Arrived, type CommandHandler } from "./command-execution.ts";
import { DurableLane, type LaneSite } from "./durable-lane.ts";
import type { HostedPartition, PartitionHome } from "./hosted-partition.ts";
import type { Outcome } from "./entity-record.ts";
import type { Logger } from "./log.ts";
import { PartitionLog, isMoved, moved, openSurely, type LogOwner } from "./partition-log.ts";
import { Underway, type Execution } from "./underway.ts";

const SWEEP_MS = 1_000;

/** One partition while this process owns it: its log, the keys in memory, what runs and what waits. */
export class EntityPartition implements HostedPartition, LogOwner, LaneSite {
  readonly entity: string;
  readonly contract: Entity;
  readonly partition: number;
  readonly epoch: number;
  readonly instance: string;
  readonly handlers: ReadonlyMap<string, CommandHandler>;
  readonly log: Logger;
  readonly journal: PartitionLog;
  readonly keys: ActiveKeys;
  readonly underway = new Underway();
  readonly #home: PartitionHome;
  readonly #stopping = new AbortController();
  #lane: DurableLane | undefined;
  #phase: "opening" | "open" | "quiescing" | "ended" = "opening";
  #sweptMs = nowMs();

  /** @param passivateMs how long a key that nobody uses stays in memory */
  constructor(
    home: PartitionHome,
    handlers: ReadonlyMap<string, CommandHandler>,
    passivateMs: number,
    partition: number,
    epoch: number,
  ) {
    const { services, contract, instance } = home;
    this.#home = home;
    this.contract = contract;
    this.entity = contract.name;
    this.handlers = handlers;
    this.log = services.runtime.log;
    this.partition = partition;
    this.epoch = epoch;
    this.instance = instance;
    this.journal = new PartitionLog(services, this);
    this.keys = new ActiveKeys(services, contract, this.journal, partition, passivateMs);
  }

  get size(): number {
    return this.keys.size;
  }

  owned(): boolean {
    return this.#phase !== "ended" && this.#home.owns(this.partition, this.epoch);
  }

  get stopping(): AbortSignal {
    return this.#stopping.signal;
  }

  open(): Promise<void> {
    const wanted = (): boolean => this.#phase === "opening" && this.owned();
    return openSurely(this, wanted, this.log, async () => {
      await this.journal.open();
      this.#begin();
    });
  }

  /**
   * Executes the direct command of a request, or joins it if it is being executed. Rejects as {@link isMoved} tells when it
   * does not belong here (any more): nothing has run, or the next owner finds out what has been recorded.
   */
  async execute(arrived: Arrived, deadlineMs: number): Promise<Outcome> {
    if (this.#phase !== "open" || !this.owned()) throw moved(this);
    const { key, command, envelope } = arrived;
    const question = command.input === undefined; // one for an outcome is not the command itself
    const id = question ? `${command.id}\0?` : command.id;
    return this.underway.request(key, id, envelope.id, deadlineMs, (execution) =>
      this.#executeDirect(arrived, execution),
    );
  }

  /** The caller of this request gave up. */
  cancel(request: string): void {
    const reason = new MeshError("CANCELED", "The caller gave up or its time ran out.");
    this.underway.leave(request, reason);
  }

  executed(command: string, outcome: Outcome, startedMs: number): void {
    this.#home.executed(command, outcome, startedMs);
  }

  /** Begins nothing more, and calls `quiet` when what runs has ended and is recorded. */
  quiesce(quiet: () => void): void {
    const begun = this.#phase === "open";
    this.#phase = begun ? "quiescing" : "ended";
    this.#stop();
    if (begun) void this.#quieten(quiet);
    else quiet();
  }

  /** Stops at once: whatever still runs must not be recorded any more. */
  abort(): void {
    this.#phase = "ended";
    this.#stop();
    this.underway.cancelAll(moved(this));
  }

  /** The connection is back. */
  restored(): void {
    this.#lane?.look();
  }

  /** Ends what is late; forgets keys that nobody uses and durable commands that are done. */
  tick(now: number): void {
    this.underway.tick(now);
    this.#lane?.tick();
    if (now - this.#sweptMs < SWEEP_MS) return;
    this.#sweptMs = now;
    this.keys.passivate(now);
    if (this.#phase === "open") this.#lane?.settle();
  }

  #begin(): void {
    if (this.#phase !== "opening") return;
    this.#phase = "open";
    this.#lane = new DurableLane(this.#home.services, this);
    this.#lane.ended.catch((error: unknown) => this.#fail(error));
    this.#home.opened(this);
  }

  /** A process's direct command comes after the durable ones that it had sent before. */
  async #executeDirect(arrived: Arrived, execution: Execution): Promise<Outcome> {
    await this.#lane?.passed(arrived.command.after, execution);
    try {
      return await this.keys.inTurn(arrived.key, (active) => {
        if (this.#phase !== "open" || !this.owned()) throw moved(this);
        return executeOnce(this, active, arrived, execution);
      });
    } catch (error) {
      if (isMoved(error)) this.#fail(error);
      throw error;
    }
  }

  #fail(error: unknown): void {
    if (this.#phase !== "open") return;
    const { entity, partition } = this;
    if (!isMoved(error)) this.log.error({ err: error, entity, partition }, "reopened");
    this.abort();
    this.#home.failed(this);
  }

  #stop(): void {
    this.#stopping.abort(moved(this));
    this.#lane?.stop();
  }

  async #quieten(quiet: () => void): Promise<void> {
    await this.#lane?.ended.catch(() => undefined);
    await this.underway.idle();
    // With it the next owner need not look at what has been executed here.
    await this.journal.settle(true).catch(() => undefined);
    this.#phase = "ended";
    quiet();
  }
}
