import { setTimeout as sleep } from "node:timers/promises";
import { MeshError, type Entity } from "@plexus/core";
import { ActiveKeys } from "./active-keys.ts";
import { nowMs } from "./clock.ts";
import { executeOnce, type Arrived, type CommandHandler } from "./command-execution.ts";
import { DurableLane, type LaneSite } from "./durable-lane.ts";
import type { Outcome } from "./entity-record.ts";
import type { EntityServices } from "./entity-services.ts";
import type { Logger } from "./log.ts";
import { PartitionLog, isMoved, moved, type LogOwner } from "./partition-log.ts";
import { Underway, type Execution } from "./underway.ts";

/** What a partition needs of the host that it belongs to. */
export interface PartitionHome {
  readonly services: EntityServices;
  readonly contract: Entity;
  readonly instance: string;
  readonly handlers: ReadonlyMap<string, CommandHandler>;
  /** How long a key that nobody uses stays in memory. */
  readonly passivateMs: number;
  /** Whether this process may act for the partition, by its own clock. */
  owns(partition: number, epoch: number): boolean;
  /** It is open, and takes commands. */
  opened(partition: EntityPartition): void;
  /** Somebody else has written: what is in memory counts no more. It begins nothing any more. */
  failed(partition: EntityPartition): void;
  /** A durable command has ended. */
  executed(command: string, outcome: Outcome, startedMs: number): void;
}

const OPEN_PAUSE_MS = 100;
const SWEEP_MS = 1_000;

/** One partition while this process owns it: its log, the keys in memory, what runs and what waits. */
export class EntityPartition implements LogOwner, LaneSite {
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

  constructor(home: PartitionHome, partition: number, epoch: number) {
    const { services, contract, instance, handlers, passivateMs } = home;
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

  owned(): boolean {
    return this.#phase !== "ended" && this.#home.owns(this.partition, this.epoch);
  }

  get stopping(): AbortSignal {
    return this.#stopping.signal;
  }

  /** Raises the fence and begins; tries until this process does not own the partition any more. */
  async open(): Promise<void> {
    const { entity, partition } = this;
    while (this.#phase === "opening" && this.owned()) {
      // oxlint-disable no-await-in-loop -- again only after a failure
      try {
        await this.journal.open();
        this.#begin();
        return;
      } catch (error) {
        if (!isMoved(error)) this.log.error({ err: error, entity, partition }, "not opened");
        await sleep(OPEN_PAUSE_MS);
      }
      // oxlint-enable no-await-in-loop
    }
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
