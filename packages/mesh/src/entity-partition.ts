import { MeshError, escapeKey, toMeshError, type Entity } from "@plexus/core";
import { ActiveKey } from "./active-key.ts";
import { nowMs } from "./clock.ts";
import {
  executeOnce,
  type Arrived,
  type CommandHandler,
  type ExecutionSite,
} from "./command-execution.ts";
import { CommandFeed, type StoredCommand } from "./command-feed.ts";
import type { CommandScope } from "./command-scope.ts";
import { readSentCommand } from "./entity-command.ts";
import type { Outcome } from "./entity-record.ts";
import type { EntityServices } from "./entity-services.ts";
import type { Logger } from "./log.ts";
import { PartitionLog, isMoved, moved, type LogOwner } from "./partition-log.ts";
import { readEnvelope } from "./task-message.ts";

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
  /** A durable command has ended. */
  executed(command: string, outcome: Outcome, startedMs: number): void;
}

const MAX_TRIES = 10; // owners that one durable command may outlive
const MAX_PENDING = 1_024; // direct commands of one partition
const MAX_KEYS = 10_000; // in memory at a time, of one partition
const OPEN_PAUSE_MS = 100;
const PURGE_AFTER = 64;
const SWEEP_MS = 1_000;

/** One partition while this process owns it: its log, the keys in memory, what runs and what waits. */
export class EntityPartition implements LogOwner, ExecutionSite {
  readonly entity: string;
  readonly contract: Entity;
  readonly partition: number;
  readonly epoch: number;
  readonly instance: string;
  readonly handlers: ReadonlyMap<string, CommandHandler>;
  readonly log: Logger;
  readonly scopes = new Map<CommandScope, string>();
  readonly #home: PartitionHome;
  readonly #stopping = new AbortController();
  readonly #keys = new Map<string, ActiveKey>();
  /** Commands that run or wait, by key and id: one that is sent once more joins itself. */
  readonly #underway = new Map<string, Promise<Outcome>>();
  #journal: PartitionLog;
  #waiting: { readonly after: number; readonly go: () => void }[] = [];
  #feed: CommandFeed | undefined;
  #phase: "opening" | "open" | "quiescing" | "ended" = "opening";
  #passed = 0;
  #purged = 0;
  #sweptMs = nowMs();
  #whenQuiet: (() => void) | undefined;
  #working: Promise<void> = Promise.resolve();

  constructor(home: PartitionHome, partition: number, epoch: number) {
    this.#home = home;
    this.contract = home.contract;
    this.entity = home.contract.name;
    this.handlers = home.handlers;
    this.log = home.services.runtime.log;
    this.partition = partition;
    this.epoch = epoch;
    this.instance = home.instance;
    this.#journal = new PartitionLog(home.services, this);
  }

  owned(): boolean {
    return this.#phase !== "ended" && this.#home.owns(this.partition, this.epoch);
  }

  get stopping(): AbortSignal {
    return this.#stopping.signal;
  }

  /** Keys in memory. */
  get keys(): number {
    return this.#keys.size;
  }

  /** Raises the fence and begins; tries until this process does not own the partition any more. */
  async open(): Promise<void> {
    const { entity, partition } = this;
    while (this.#phase === "opening" && this.owned()) {
      try {
        // oxlint-disable-next-line no-await-in-loop -- again only after a failure
        const tries = await this.#journal.open();
        this.#begin(tries);
        return;
      } catch (error) {
        if (!isMoved(error)) this.log.error({ err: error, entity, partition }, "not opened");
        // oxlint-disable-next-line no-await-in-loop
        await new Promise((resolve) => setTimeout(resolve, OPEN_PAUSE_MS));
      }
    }
  }

  /**
   * Executes a direct command, or joins it if it is being executed. Rejects as {@link isMoved} tells when it does not belong
   * here (any more): nothing has run, or the next owner finds out what has been recorded.
   */
  async execute(arrived: Arrived): Promise<Outcome> {
    if (this.#phase !== "open" || !this.owned()) throw moved(this);
    const name = `${arrived.key}\0${arrived.command.id}`;
    const same = this.#underway.get(name);
    if (same) return same;
    if (this.#underway.size >= MAX_PENDING) {
      const text = `${MAX_PENDING} commands wait in partition ${this.partition} of ${this.entity}.`;
      throw new MeshError("OVERLOADED", text);
    }
    return this.#join(name, this.#afterDurable(arrived));
  }

  /** The caller of this request gave up. */
  cancel(request: string): void {
    const reason = new MeshError("CANCELED", "The caller gave up or its time ran out.");
    for (const [scope, id] of this.scopes) if (id === request) scope.cancel(reason);
  }

  /** Begins nothing more, and calls `quiet` when what runs has ended and is recorded. */
  quiesce(quiet: () => void): void {
    const begun = this.#phase === "open";
    this.#phase = begun ? "quiescing" : "ended";
    this.#stop();
    if (!begun) {
      quiet();
      return;
    }
    void this.#quieten(quiet);
  }

  /** Stops at once: whatever still runs must not be recorded any more. */
  abort(): void {
    this.#phase = "ended";
    this.#stop();
    for (const scope of this.scopes.keys()) scope.cancel(moved(this));
    this.#keys.clear();
  }

  /** The connection is back. */
  restored(): void {
    this.#feed?.look();
  }

  /** Ends what is late; forgets keys that nobody uses and durable commands that are done. */
  tick(now: number): void {
    for (const scope of this.scopes.keys()) {
      if (scope.deadlineMs > now) continue;
      const text = "The caller's deadline passed while the handler ran.";
      scope.cancel(new MeshError("DEADLINE_EXCEEDED", text));
    }
    if (now - this.#sweptMs < SWEEP_MS) return;
    this.#sweptMs = now;
    for (const [key, active] of this.#keys) {
      const idle = now - active.usedMs >= this.#home.passivateMs;
      if (active.pending === 0 && (idle || this.#keys.size > MAX_KEYS)) this.#keys.delete(key);
    }
    if (this.#passed > 0) this.#purge();
  }

  #begin(tries: number): void {
    if (this.#phase !== "opening") return;
    this.#phase = "open";
    const { cursor } = this.#journal;
    this.#feed = new CommandFeed(this.#home.services, this.entity, this.partition, cursor);
    this.#working = this.#work(this.#feed, tries);
    this.#home.opened(this);
  }

  /** Executes the durable commands, one after the other. */
  async #work(feed: CommandFeed, tries: number): Promise<void> {
    for (let before = tries; ; before = 0) {
      // oxlint-disable-next-line no-await-in-loop -- in order
      const stored = await feed.next();
      if (stored === undefined || this.#phase !== "open") return;
      try {
        // oxlint-disable-next-line no-await-in-loop
        await this.#executeStored(stored, before);
      } catch (error) {
        this.#failed(error);
        return;
      }
      this.#advanced();
    }
  }

  async #executeStored({ sequence, data }: StoredCommand, tries: number): Promise<void> {
    const startedMs = nowMs();
    const arrived = this.#read(data, sequence);
    if (arrived === undefined) {
      this.#journal.pass(sequence);
      return;
    }
    const { key, name, command } = arrived;
    let outcome: Outcome;
    try {
      if (tries >= MAX_TRIES) throw lostOwners(tries);
      outcome = await this.#join(`${key}\0${command.id}`, this.#inTurn(arrived));
    } catch (error) {
      if (isMoved(error) || this.stopping.aborted) throw error;
      // Its key cannot even be loaded, or nobody survives it: that is how it ends, or it would hold up all others for ever.
      outcome = { error: toMeshError(error).toJSON() };
      const record = { id: command.id, key, command: name, events: [], outcome };
      await this.#journal.append(escapeKey(key), record, arrived.envelope.trace, sequence);
    }
    if (this.#journal.cursor < sequence) this.#journal.pass(sequence); // it had been recorded before
    this.#home.executed(name, outcome, startedMs);
  }

  #read(data: Uint8Array, sequence: number): Arrived | undefined {
    try {
      const envelope = readEnvelope(data);
      const { name, recipient: key = "" } = envelope;
      const command = readSentCommand(envelope);
      return { command, envelope, key, name, deadlineMs: Infinity, sequence };
    } catch (error) {
      this.#home.services.runtime.metrics.badMessages.with({ code: "BAD_MESSAGE" }).value++;
      this.log.error({ err: error, sequence }, "unreadable durable command passed over");
      return undefined;
    }
  }

  #join(name: string, execution: Promise<Outcome>): Promise<Outcome> {
    this.#underway.set(name, execution);
    const left = (): void => {
      if (this.#underway.get(name) === execution) this.#underway.delete(name);
      this.#checkQuiet();
    };
    execution.then(left, left);
    return execution;
  }

  /** A process's direct command comes after the durable ones that it had sent before. */
  async #afterDurable(arrived: Arrived): Promise<Outcome> {
    const { after } = arrived.command;
    if (after > this.#journal.cursor) {
      await new Promise<void>((go) => this.#waiting.push({ after, go }));
    }
    try {
      return await this.#inTurn(arrived);
    } catch (error) {
      if (isMoved(error)) this.#failed(error);
      throw error;
    }
  }

  async #inTurn(arrived: Arrived): Promise<Outcome> {
    const { key, sequence } = arrived;
    const known = this.#keys.get(key);
    const { services } = this.#home;
    const active =
      known ?? new ActiveKey(services, this.contract, this.#journal, this.partition, key);
    this.#keys.set(key, active);
    try {
      return await active.inTurn(() => {
        const welcome =
          this.#phase === "open" || (this.#phase === "quiescing" && sequence !== undefined);
        if (!welcome || !this.owned()) throw moved(this);
        return executeOnce(this, active, arrived);
      });
    } catch (error) {
      // It could not be loaded, or its state is in doubt: whoever comes next loads it anew.
      if (this.#keys.get(key) === active) this.#keys.delete(key);
      throw error;
    }
  }

  /** Somebody else has written: what is in memory counts no more. If the lease is still held, it all begins anew. */
  #failed(error: unknown): void {
    if (this.#phase !== "open") return;
    if (!isMoved(error)) this.log.error({ err: error, entity: this.entity }, "partition reopened");
    this.#journal.close();
    this.#feed?.close();
    this.#refuseWaiting();
    this.#keys.clear();
    this.#phase = "opening";
    this.#journal = new PartitionLog(this.#home.services, this);
    void this.open();
  }

  #advanced(): void {
    const { cursor } = this.#journal;
    const ready = this.#waiting.filter(({ after }) => after <= cursor);
    if (ready.length > 0) {
      this.#waiting = this.#waiting.filter(({ after }) => after > cursor);
      for (const { go } of ready) go();
    }
    if (++this.#passed >= PURGE_AFTER) this.#purge();
  }

  #stop(): void {
    this.#feed?.close();
    this.#stopping.abort(moved(this));
    this.#refuseWaiting();
  }

  /** They go on, and find that they are not welcome any more. */
  #refuseWaiting(): void {
    for (const { go } of this.#waiting.splice(0)) go();
  }

  /** What has been executed need not be kept. Costs nothing but space if it fails. */
  #purge(): void {
    const { js, store, runtime } = this.#home.services;
    this.#passed = 0;
    const { cursor } = this.#journal;
    if (cursor === this.#purged || !runtime.link.connected) return;
    this.#purged = cursor;
    const subject = runtime.subjects.command(this.entity, this.partition);
    js.purge(store.commands, subject, cursor).catch((error: unknown) =>
      this.log.debug({ err: error }, "executed commands are purged later"),
    );
  }

  async #quieten(quiet: () => void): Promise<void> {
    await this.#working;
    this.#whenQuiet = quiet;
    this.#checkQuiet();
  }

  #checkQuiet(): void {
    if (this.#underway.size > 0 || this.#whenQuiet === undefined) return;
    const quiet = this.#whenQuiet;
    this.#whenQuiet = undefined;
    this.#phase = "ended";
    quiet();
  }
}

function lostOwners(tries: number): MeshError {
  const text = `${tries} owners of its partition vanished while it waited to be executed.`;
  return new MeshError("AGENT_LOST", text);
}
