import {
  MeshError,
  decodePayload,
  toMeshError,
  type Entity,
  type OwnedThread,
  type ThreadKeeper,
  type ThreadState,
} from "@plexus/core";
import { nowMs } from "./clock.ts";
import type { Arrived } from "./command-execution.ts";
import type { Outcome } from "./entity-record.ts";
import { explain } from "./exchange.ts";
import type { HostedPartition, PartitionHome } from "./hosted-partition.ts";
import type { Logger } from "./log.ts";
import { PartitionLog, isMoved, moved, openSurely, type LogOwner } from "./partition-log.ts";
import { recordsPlace, snapshotsPlace } from "./thread-record.ts";
import { ThreadTable } from "./thread-table.ts";
import { ThreadWriter, type LastMessages, type WriterHome } from "./thread-writer.ts";
import { Underway, type Execution } from "./underway.ts";

const RESUME_PAUSE_MS = 10_000; // before a thread that could not go on is tried again

/** Where partitions are found by those who need a thread of theirs. */
export interface PartitionTable {
  add(partition: ThreadPartition): void;
  remove(partition: ThreadPartition): void;
}

/** One partition of threads while this process owns it. */
export class ThreadPartition implements HostedPartition, LogOwner, WriterHome {
  readonly entity: string;
  readonly partition: number;
  readonly epoch: number;
  readonly instance: string;
  readonly journal: PartitionLog;
  readonly #home: PartitionHome;
  readonly #contract: Entity;
  readonly #keeper: ThreadKeeper;
  readonly #registry: PartitionTable;
  readonly #table: ThreadTable;
  readonly #underway = new Underway();
  readonly #writers = new Map<string, ThreadWriter>();
  /** Threads that are being taken, or read for that. */
  readonly #taking = new Set<string>();
  readonly #log: Logger;
  readonly #gone = new AbortController();
  #phase: "opening" | "open" | "quiescing" | "ended" = "opening";

  constructor(
    home: PartitionHome,
    keeper: ThreadKeeper,
    registry: PartitionTable,
    partition: number,
    epoch: number,
  ) {
    const { services, contract, instance } = home;
    this.#home = home;
    this.#keeper = keeper;
    this.#registry = registry;
    this.#contract = contract;
    this.#log = services.runtime.log;
    this.entity = contract.name;
    this.partition = partition;
    this.epoch = epoch;
    this.instance = instance;
    this.journal = new PartitionLog(services, this);
    this.#table = new ThreadTable(services, this.journal);
  }

  /** Threads that are under way. */
  get size(): number {
    return this.#table.size;
  }

  owned(): boolean {
    return this.#phase !== "ended" && this.#home.owns(this.partition, this.epoch);
  }

  open(): Promise<void> {
    const wanted = (): boolean => this.#phase === "opening" && this.owned();
    return openSurely(this, wanted, this.#log, async () => {
      await this.journal.open();
      await this.#table.load();
      if (this.#phase !== "opening") return;
      this.#phase = "open";
      this.#registry.add(this);
      this.#home.opened(this);
      this.#resumeDue();
    });
  }

  async execute(arrived: Arrived, deadlineMs: number): Promise<Outcome> {
    this.#demand();
    const { key, command, envelope } = arrived;
    return this.#underway.request(key, command.id, envelope.id, deadlineMs, (execution) =>
      this.#carryOut(arrived, execution),
    );
  }

  cancel(request: string): void {
    const reason = new MeshError("CANCELED", "The caller gave up or its time ran out.");
    this.#underway.leave(request, reason);
  }

  /** Takes a thread to execute it. Rejects with `CONFLICT` if it is taken already. */
  async own(thread: string, signal: AbortSignal | undefined): Promise<OwnedThread> {
    signal?.throwIfAborted();
    this.#demand();
    if (this.#writers.has(thread) || this.#taking.has(thread)) {
      throw new MeshError("CONFLICT", `Thread ${thread} is being executed already.`);
    }
    this.#taking.add(thread);
    try {
      const last = await this.last(thread);
      this.#demand();
      signal?.throwIfAborted();
      const writer = new ThreadWriter(this, thread, last);
      this.#writers.set(thread, writer);
      return writer;
    } catch (error) {
      this.lost(error);
      throw error;
    } finally {
      this.#taking.delete(thread);
    }
  }

  /** Where a thread ends: as it is, not as a replica or former leader believes. */
  async last(thread: string): Promise<LastMessages> {
    const known = this.#writers.get(thread)?.last;
    if (known !== undefined) return known;
    const places = [recordsPlace(thread), snapshotsPlace(thread)];
    const [record, snapshot] = await this.journal.lastOf(places);
    return [record, snapshot];
  }

  noted(thread: string, state: ThreadState, sequence: number, bytes: number): void {
    this.#table.note(thread, state, sequence, bytes);
  }

  lost(error: unknown): void {
    if (!isMoved(error) || this.#phase !== "open") return;
    this.abort();
    this.#home.failed(this);
  }

  returned(writer: ThreadWriter): void {
    if (this.#writers.get(writer.thread) === writer) this.#writers.delete(writer.thread);
  }

  quiesce(quiet: () => void): void {
    const begun = this.#phase === "open";
    this.#phase = begun ? "quiescing" : "ended";
    if (begun) void this.#quieten(quiet);
    else quiet();
  }

  abort(): void {
    this.#phase = "ended";
    this.#registry.remove(this);
    const reason = moved(this);
    this.#gone.abort(reason);
    for (const writer of this.#writers.values()) writer.lose(reason);
    this.#writers.clear();
    this.#underway.cancelAll(reason);
  }

  restored(): void {}

  tick(now: number): void {
    this.#underway.tick(now);
    if (this.#phase === "open") this.#resumeDue();
  }

  #resumeDue(): void {
    for (const thread of this.#table.takeDue(Date.now())) void this.#resume(thread);
  }

  async #resume(thread: string): Promise<void> {
    try {
      await this.#keeper.resume(thread);
    } catch (error) {
      if (isMoved(error) || this.#phase !== "open") return;
      const { entity } = this;
      this.#log.error({ err: error, entity, thread }, "a thread cannot go on, trying again");
      setTimeout(() => this.#table.untake(thread), RESUME_PAUSE_MS);
    }
  }

  #demand(): void {
    if (this.#phase !== "open" || !this.owned()) throw moved(this);
  }

  async #carryOut({ name, key, command }: Arrived, execution: Execution): Promise<Outcome> {
    const canceled = new AbortController();
    execution.scope = { cancel: (reason) => canceled.abort(reason) };
    try {
      const spec = Object.hasOwn(this.#contract.commands, name)
        ? this.#contract.commands[name]
        : undefined;
      const handler = this.#keeper.handlers[name];
      if (spec === undefined || handler === undefined) {
        throw new MeshError("NO_CAPABILITY", `${this.entity} has no command ${name}.`);
      }
      const parsed = spec.input.safeParse(command.input && decodePayload(command.input));
      if (!parsed.success) {
        const details = parsed.error.issues;
        const text = `${this.entity}.${name}: ${explain(parsed.error)}`;
        throw new MeshError("INVALID_INPUT", text, { details });
      }
      const call = {
        thread: key,
        id: command.id,
        signal: canceled.signal,
        owned: this.#gone.signal,
      };
      return { output: await handler(parsed.data, call) };
    } catch (thrown) {
      if (isMoved(execution.canceled)) throw execution.canceled;
      if (isMoved(thrown)) throw thrown;
      return { error: toMeshError(thrown).toJSON() };
    } finally {
      execution.scope = undefined;
    }
  }

  async #quieten(quiet: () => void): Promise<void> {
    const startedMs = nowMs();
    await this.#keeper.leave([...this.#writers.keys()], moved(this));
    this.#gone.abort(moved(this));
    this.#underway.cancelAll(moved(this));
    await this.#underway.idle();
    // With it the next owner need not look at what has been executed here.
    await this.#table.write().catch(() => undefined);
    await this.journal.settle(true).catch(() => undefined);
    this.#phase = "ended";
    this.#registry.remove(this);
    const { entity, partition } = this;
    this.#log.debug({ entity, partition, ms: nowMs() - startedMs }, "partition of threads left");
    quiet();
  }
}
