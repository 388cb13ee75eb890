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
import { explain } from "./route.ts";
import type { HostedPartition, PartitionHome } from "./hosted-partition.ts";
import type { Logger } from "./log.ts";
import { PartitionLog, isMoved, moved, openSurely, type LogOwner } from "./partition-log.ts";
import { recordsPlace, snapshotsPlace } from "./thread-record.ts";
import { ThreadTable } from "./thread-table.ts";
import { ThreadWriter, type LastMessages, type WriterHome } from "./thread-writer.ts";
import { Underway, type Execution } from "./underway.ts";

/** Before a thread that could not go on is tried again: twice as long each time, and so long at most. */
const RESUME_PAUSE_MS = 10_000;
const MAX_RESUME_PAUSE_MS = 5 * 60_000;
/** Before a thread is woken again whose time has come here, and not yet by the clock of the graph. */
const WAKE_PAUSE_MS = 1_000;
/** Threads that are read at a time to go on with them; one that takes longer than this does not hold the others up. */
const MAX_STARTING = 64;
const STARTING_MS = 1_000;

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
  /** Threads that are gone on with. */
  readonly #resuming = new Set<string>();
  /** Those of them that are being read. */
  readonly #starting = new Set<string>();
  /** How long the next failure to go on with a thread keeps it back, in ms. */
  readonly #pauses = new Map<string, number>();
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
    await this.#writers.get(thread)?.returned;
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
    if (state !== "busy") this.#pauses.delete(thread);
    this.#started(thread);
  }

  lost(error: unknown): void {
    if (!isMoved(error) || this.#phase !== "open") return;
    this.abort();
    this.#home.failed(this);
  }

  returned(writer: ThreadWriter): void {
    const { thread } = writer;
    if (this.#writers.get(thread) !== writer) return;
    this.#writers.delete(thread);
    // Whoever executed it could not record how it went on.
    const isLeft = this.#table.dueAt(thread) === 0 && !this.#resuming.has(thread);
    if (isLeft && this.#phase === "open") this.#postpone(thread);
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
    const room = MAX_STARTING - this.#starting.size;
    for (const thread of this.#table.takeDue(Date.now(), room)) void this.#resume(thread);
  }

  /** Makes room for others, some at a time. */
  #started(thread: string): void {
    if (!this.#starting.delete(thread) || this.#phase !== "open") return;
    if (this.#starting.size <= MAX_STARTING / 2) this.#resumeDue();
  }

  async #resume(thread: string): Promise<void> {
    this.#starting.add(thread);
    this.#resuming.add(thread);
    const timer = setTimeout(() => this.#started(thread), STARTING_MS).unref();
    try {
      await this.#keeper.resume(thread);
      const due = this.#table.dueAt(thread);
      if (due === 0) {
        if (!this.#writers.has(thread)) this.#postpone(thread);
        return;
      }
      this.#pauses.delete(thread);
      if (due < Infinity) this.#untake(thread, due > Date.now() ? 0 : WAKE_PAUSE_MS);
    } catch (error) {
      if (isMoved(error) || this.#phase !== "open") return;
      const { entity } = this;
      this.#log.error({ err: error, entity, thread }, "a thread cannot go on, trying again");
      this.#postpone(thread);
    } finally {
      clearTimeout(timer);
      this.#resuming.delete(thread);
      this.#started(thread);
    }
  }

  #postpone(thread: string): void {
    const pause = this.#pauses.get(thread) ?? RESUME_PAUSE_MS;
    this.#pauses.set(thread, Math.min(2 * pause, MAX_RESUME_PAUSE_MS));
    this.#untake(thread, pause);
  }

  /** Goes on with the thread in so many ms, or at its time if that is later. */
  #untake(thread: string, pauseMs: number): void {
    setTimeout(() => this.#table.untake(thread), pauseMs).unref();
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
