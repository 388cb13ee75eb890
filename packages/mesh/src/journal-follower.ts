import { setTimeout as sleep } from "node:timers/promises";
import {
  MeshError,
  backoffMs,
  toMeshError,
  toTimerMs,
  type Duration,
  type Journal,
} from "@plexus/core";
import { Scope, runInScope, type Context, type Handled } from "./context.ts";
import { eventsOf, type JournalEvent } from "./journal-record.ts";
import type { JournalServices } from "./journal-services.ts";
import type { PulledRecord } from "./nats/record-pull.ts";
import { StreamCursor, type CursorSource } from "./stream-cursor.ts";
import { readEnvelope } from "./task-message.ts";

/** Where somebody is in a journal: behind this event. */
export interface Position {
  readonly sequence: number;
  /** Number of the event in its append. */
  readonly index: number;
}

/** Somebody follows a journal; disposing ends it when the event in hand is handled. */
export interface Following extends AsyncDisposable {
  /** The last event that was handled. */
  readonly position: Position;
  /** Resolves when everything is handled that was stored when it began, as far as the broker has not lost it. */
  readonly caughtUp: Promise<void>;
  /** Resolves when it has ended; rejects if it cannot go on: `INCOMPATIBLE_EVENT` or `BAD_MESSAGE`. */
  readonly ended: Promise<void>;
  stop(): Promise<void>;
}

/** A handler with its types erased. */
export type FollowHandler = (event: JournalEvent, context: Context) => unknown;

const RETRY = { firstMs: 100, maxMs: 10_000, factor: 2 };
const DEFAULT_DRAIN_MS = 30_000;
/** What comes behind this is of another journal of the same name. */
const REBORN = Symbol("reborn");

/**
 * Handles the events of a journal one after the other, from some point on and then as they come. A handler that fails is
 * called again with the same event until it succeeds: what comes behind an event never overtakes it.
 */
export class Follower implements Following {
  readonly caughtUp: Promise<void>;
  readonly ended: Promise<void>;
  readonly #services: JournalServices;
  readonly #journal: Journal;
  readonly #handler: FollowHandler;
  readonly #handled: (position: Position) => void;
  readonly #drainMs: number;
  readonly #cursor: StreamCursor;
  readonly #queue: (PulledRecord | typeof REBORN)[] = [];
  readonly #stopping = new AbortController();
  readonly #caughtUp = Promise.withResolvers<void>();
  readonly #ended = Promise.withResolvers<void>();
  #position: Position;
  #target = Infinity;
  #working: Promise<void> | undefined;
  #running: Scope | undefined;
  #stopped: Promise<void> | undefined;

  /** @param after begin behind it */
  constructor(
    services: JournalServices,
    journal: Journal,
    source: CursorSource,
    after: Position,
    handler: FollowHandler,
    handled: (position: Position) => void,
    drainTimeout: Duration | undefined,
  ) {
    this.#services = services;
    this.#journal = journal;
    this.#handler = handler;
    this.#handled = handled;
    this.#drainMs = drainTimeout === undefined ? DEFAULT_DRAIN_MS : toTimerMs(drainTimeout);
    this.#position = after;
    this.caughtUp = this.#caughtUp.promise;
    this.ended = this.#ended.promise;
    this.caughtUp.catch(() => undefined);
    this.ended.catch(() => undefined); // whoever asks is told
    // The append of the position may have further events.
    this.#cursor = new StreamCursor(services, source, after.sequence, {
      take: (record) => this.#enqueue(record),
      reborn: () => this.#enqueue(REBORN),
      failed: (error) => this.#fail(error),
    });
  }

  get position(): Position {
    return this.#position;
  }

  /** @param target what was stored when it began: sequence of the last record, 0 for none */
  async open(target: number): Promise<void> {
    this.#target = target;
    this.#reach();
    await this.#cursor.open();
  }

  stop(): Promise<void> {
    return (this.#stopped ??= this.#stop());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #stop(): Promise<void> {
    this.#stopping.abort();
    const timer = setTimeout(() => {
      this.#running?.cancel(new MeshError("CANCELED", "The subscription has ended."));
    }, this.#drainMs);
    await Promise.all([this.#cursor.end(), this.#working]);
    clearTimeout(timer);
    this.#ended.resolve();
    this.#caughtUp.reject(new MeshError("CANCELED", "The subscription has ended."));
  }

  #enqueue(next: PulledRecord | typeof REBORN): void {
    this.#queue.push(next);
    this.#working ??= this.#work();
  }

  async #work(): Promise<void> {
    await Promise.resolve();
    try {
      for (let next = 0; next < this.#queue.length && !this.#stopping.signal.aborted; next++) {
        const record = this.#queue[next]!;
        if (record === REBORN) {
          this.#position = { sequence: 0, index: 0 };
          this.#caughtUp.resolve();
        } else {
          await this.#handleAll(record);
          this.#cursor.release(record);
        }
        if (next < 1_024) continue;
        this.#queue.splice(0, next + 1);
        next = -1;
      }
      this.#queue.length = 0;
    } catch (error) {
      this.#fail(toMeshError(error));
    } finally {
      this.#working = undefined;
    }
  }

  async #handleAll(record: PulledRecord): Promise<void> {
    const { sequence } = record;
    const { sequence: at, index: behind } = this.#position;
    if (sequence < at) return;
    const envelope = readEnvelope(record.data);
    for (const event of eventsOf(this.#journal.types, record)) {
      if (sequence === at && event.index <= behind) continue;
      const { id, by: sender } = event;
      const facts = { id, sender, trace: envelope.trace };
      if (!(await this.#handle(event, facts))) return;
      this.#position = { sequence, index: event.index };
      this.#handled(this.#position);
    }
    this.#reach();
  }

  /** False: it was stopped before the handler succeeded. */
  async #handle(event: JournalEvent, facts: Handled): Promise<boolean> {
    const { metrics, log } = this.#services.runtime;
    const { name: journal } = this.#journal;
    const { signal } = this.#stopping;
    for (let attempt = 1; !signal.aborted; attempt++) {
      const scope = new Scope(facts, Infinity, log);
      this.#running = scope;
      try {
        await runInScope(scope, this.#handler, event, scope);
        return true;
      } catch (error) {
        metrics.handlerErrors.with({ topic: journal }).value++;
        const about = { err: toMeshError(error), journal, sequence: event.sequence, attempt };
        log.warn(about, "handler of a journal's event failed");
        const pause = backoffMs(RETRY, attempt, Math.random);
        await sleep(pause, undefined, { signal }).catch(() => undefined);
      } finally {
        this.#running = undefined;
      }
    }
    return false;
  }

  #reach(): void {
    if (this.#position.sequence >= this.#target) this.#caughtUp.resolve();
  }

  #fail(error: MeshError): void {
    const { log } = this.#services.runtime;
    log.error({ err: error, journal: this.#journal.name }, "a journal cannot be followed any more");
    this.#ended.reject(error);
    this.#caughtUp.reject(error);
    void this.#cursor.end();
  }
}
