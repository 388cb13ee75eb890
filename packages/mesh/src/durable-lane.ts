import { setTimeout as sleep } from "node:timers/promises";
import { MeshError, escapeKey, toMeshError } from "@plexus/core";
import type { ActiveKeys } from "./active-keys.ts";
import { nowMs } from "./clock.ts";
import {
  executeOnce,
  recordFailure,
  type Arrived,
  type ExecutionSite,
} from "./command-execution.ts";
import { CommandFeed, type StoredCommand } from "./command-feed.ts";
import { readSentCommand } from "./entity-command.ts";
import type { Outcome } from "./entity-record.ts";
import type { EntityServices } from "./entity-services.ts";
import { isMoved, type PartitionLog } from "./partition-log.ts";
import { readEnvelope } from "./task-message.ts";
import type { Execution, Underway } from "./underway.ts";

/** The partition whose durable commands are executed. */
export interface LaneSite extends ExecutionSite {
  readonly entity: string;
  readonly partition: number;
  readonly keys: ActiveKeys;
  readonly underway: Underway;
  readonly journal: PartitionLog;
  /** A durable command has ended. */
  executed(command: string, outcome: Outcome, startedMs: number): void;
}

/** A direct command that is to be executed behind a durable one. */
interface Waiting {
  readonly after: number;
  readonly execution: Execution;
  readonly sinceMs: number;
  go(): void;
}

const MAX_TRIES = 10; // owners that may vanish over one durable command
const SETTLE_AFTER = 64;
const LOST_AFTER_MS = 2_000;

/** The durable commands of one partition, executed one after the other in the order in which they are stored. */
export class DurableLane {
  readonly #services: EntityServices;
  readonly #site: LaneSite;
  readonly #feed: CommandFeed;
  /** Ends when it is stopped; rejects with what keeps it from going on. */
  readonly ended: Promise<void>;
  #waiting: Waiting[] = [];
  #begun = false;
  #unsettled = 0;
  #settling = false;
  #seeking = false;

  constructor(services: EntityServices, site: LaneSite) {
    this.#services = services;
    this.#site = site;
    const { entity, partition, journal } = site;
    this.#feed = new CommandFeed(services, entity, partition, journal.cursor);
    this.ended = this.#work();
  }

  /** Resolves when the durable command with this sequence has ended, or nobody waits for that any more. */
  async passed(after: number, execution: Execution): Promise<void> {
    if (after <= this.#site.journal.cursor) return;
    const sinceMs = nowMs();
    await new Promise<void>((go) => this.#waiting.push({ after, execution, sinceMs, go }));
  }

  /** Looks for commands that were not told of. */
  look(): void {
    this.#feed.look();
  }

  /** To be called again and again. */
  tick(): void {
    this.#release(({ execution }) => execution.canceled !== undefined);
    const [oldest] = this.#waiting;
    if (this.#services.runtime.link.clustered) return;
    if (oldest && !this.#seeking && nowMs() - oldest.sinceMs > LOST_AFTER_MS) {
      void this.#seek(oldest.after);
    }
  }

  /**
   * A command that is not stored any more is not waited for: the broker has lost its disk, or somebody has deleted it. In a cluster
   * nobody can be asked, as a leader that hung tells of the past.
   */
  async #seek(after: number): Promise<void> {
    const { js, store, runtime } = this.#services;
    const { entity, partition } = this.#site;
    this.#seeking = true;
    try {
      const subject = runtime.subjects.command(entity, partition);
      const found = await js.next(store.commands, subject, after);
      if (found?.sequence !== after) this.#release((one) => one.after === after);
      else await sleep(LOST_AFTER_MS);
    } catch {
      await sleep(LOST_AFTER_MS); // the broker is away, or not ready
    } finally {
      this.#seeking = false;
    }
  }

  /**
   * Lets the journal say how far it is, and then the broker forget what has been executed. Costs nothing but space if it fails.
   */
  settle(): void {
    if (this.#unsettled === 0 || this.#settling || !this.#services.runtime.link.connected) return;
    this.#unsettled = 0;
    this.#settling = true;
    this.#purge()
      .catch((error: unknown) => {
        this.#unsettled++;
        this.#site.log.debug({ err: error }, "executed commands are purged later");
      })
      .finally(() => {
        this.#settling = false;
      });
  }

  /** Begins with no further command. Those who wait go on, and find that they are not welcome any more. */
  stop(): void {
    this.#feed.close();
    this.#release(() => true);
  }

  async #work(): Promise<void> {
    const { stopping, journal } = this.#site;
    for (;;) {
      const stored = await this.#feed.next();
      if (stored === undefined || stopping.aborted) return;
      await this.#execute(stored);
      this.#release(({ after }) => after <= journal.cursor);
      if (++this.#unsettled >= SETTLE_AFTER) this.settle();
    }
  }

  async #execute({ sequence, data }: StoredCommand): Promise<void> {
    const { keys, journal } = this.#site;
    const startedMs = nowMs();
    const arrived = this.#read(data, sequence);
    if (arrived === undefined) {
      journal.pass(sequence);
      return;
    }
    const { key, name, command, envelope } = arrived;
    let outcome: Outcome;
    try {
      const known = await keys.inTurn(key, async (active) => active.remembers(command.id));
      if (known) {
        journal.pass(sequence);
        return;
      }
      outcome = await this.#executeOnce(arrived, await this.#meet(sequence));
    } catch (error) {
      if (isMoved(error) || this.#site.stopping.aborted) throw error;
      // Its key cannot be loaded, for example. That is how it ends, or it would hold up all others for ever.
      const { code, message } = toMeshError(error);
      outcome = { error: new MeshError(code, message).toJSON() };
      const record = { id: command.id, key, command: name, durable: sequence, events: [], outcome };
      await journal.append(escapeKey(key), record, envelope.trace);
    }
    if (journal.cursor < sequence) journal.pass(sequence); // a direct command of its id was first
    this.#site.executed(name, outcome, startedMs);
  }

  #executeOnce(arrived: Arrived, tries: number): Promise<Outcome> {
    const { keys, underway } = this.#site;
    const { key, command } = arrived;
    return underway.durable(key, command.id, (execution) =>
      keys.inTurn(key, (active) => {
        this.#site.journal.demand();
        if (tries < MAX_TRIES) return executeOnce(this.#site, active, arrived, execution);
        const text = `${tries} owners of its partition vanished while they executed it.`;
        return recordFailure(active, arrived, new MeshError("AGENT_LOST", text));
      }),
    );
  }

  /** What kills its owner is met first by the next one, which so can count. */
  async #meet(sequence: number): Promise<number> {
    if (this.#begun) return 0;
    this.#begun = true;
    return this.#site.journal.meet(sequence);
  }

  #read(data: Uint8Array, sequence: number): Arrived | undefined {
    try {
      const envelope = readEnvelope(data);
      const { name, recipient: key = "" } = envelope;
      return { command: readSentCommand(envelope), envelope, key, name, sequence };
    } catch (error) {
      this.#services.runtime.metrics.badMessages.with({ code: "BAD_MESSAGE" }).value++;
      this.#site.log.warn({ err: error, sequence }, "unreadable durable command passed over");
      return undefined;
    }
  }

  #release(which: (waiting: Waiting) => boolean): void {
    if (this.#waiting.length === 0) return;
    const waiting = this.#waiting;
    this.#waiting = waiting.filter((one) => !which(one));
    if (this.#waiting.length === waiting.length) return;
    for (const one of waiting) if (which(one)) one.go();
  }

  async #purge(): Promise<void> {
    const { js, store, runtime } = this.#services;
    const { entity, partition, journal } = this.#site;
    const upTo = await journal.settle();
    if (upTo > 0) await js.purge(store.commands, runtime.subjects.command(entity, partition), upTo);
  }
}
