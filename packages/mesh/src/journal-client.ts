import {
  MeshError,
  escapeKey,
  toMeshError,
  token,
  type Duration,
  type Journal,
} from "@plexus/core";
import {
  appendDeadline,
  prepareAppend,
  type AppendOf,
  type AppendOptions,
  type Appended,
} from "./journal-append.ts";
import { currentScope, type Context } from "./context.ts";
import { journalSource, type EventSource } from "./event-source.ts";
import { compactJournal, type CompactOptions, type Compacted } from "./journal-compact.ts";
import { demandKey } from "./entity-command.ts";
import type { Following, FollowHandler, Position } from "./journal-follower.ts";
import { Follower } from "./journal-follower.ts";
import { eventsOf, type JournalEvent, type NewEvent } from "./journal-record.ts";
import type { JournalHome } from "./journal-home.ts";
import { MAX_BATCH, JournalWriter } from "./journal-writer.ts";
import { NamedFollower } from "./named-follower.ts";
import { beginning, checkPlace, readRecords, type Place } from "./record-reader.ts";

/** Options of {@link JournalClient.read}. */
export interface ReadOptions {
  /** Only the events of one key. Default: all. */
  readonly key?: string;
  /** The first append that is read. Default "all": the first one there is. */
  readonly from?: "all" | Place;
  /** The last append that is read, itself included. Default: the last one when the reading begins. */
  readonly to?: Place;
  /** How many events at most. */
  readonly limit?: number;
  readonly signal?: AbortSignal;
}

/** Options of {@link JournalClient.follow}. */
export interface FollowOptions {
  /** Only the events of one key. Default: all. */
  readonly key?: string;
  /** Where it begins; with a `name`, the first time only. Default "all". */
  readonly from?: "all" | "new" | Place;
  /** The broker keeps where it is: of all who follow by this name one does so at a time, and goes on where it stopped. */
  readonly name?: string;
  /** How long the end waits for the handler; then it is canceled. Default 30 s. */
  readonly drainTimeout?: Duration;
}

/** A journal as one process uses it. */
export interface JournalClient<J extends Journal = Journal> {
  /**
   * Appends one event of a key, or several as one: all of them or none. Resolves when the broker has stored them. Rejects with `CONFLICT`
   * when the key is not where `expected` says, `NOT_CONNECTED` when nothing is stored, `TIMEOUT` when it may be: repeat it with its `id`.
   */
  append(
    key: string,
    events: NewEvent<J> | readonly NewEvent<J>[],
    options?: AppendOptions,
  ): Promise<Appended>;
  /** Appends to several keys, each once: all of it is stored or nothing. At most 1,000 keys. Rejects like {@link append}. */
  appendAll(
    appends: readonly AppendOf<NewEvent<J>>[],
    options?: Pick<AppendOptions, "timeout" | "signal">,
  ): Promise<Appended[]>;
  /** The events in order, as far as they were stored when the reading began. Throws `INCOMPATIBLE_EVENT`. */
  read(options?: ReadOptions): AsyncIterable<JournalEvent<J>>;
  /**
   * Calls `handler` with each event from some point on, one after the other, then as they come. Survives reconnections without a gap
   * or a repetition. A handler that fails is called again with the same event until it succeeds.
   */
  follow(
    handler: (event: JournalEvent<J>, context: Context) => unknown,
    options?: FollowOptions,
  ): Promise<Following>;
  /**
   * Purges appends before some point, but the last one of each key: only what every projection that the broker keeps has in its state, and
   * every named subscription has passed. Those states are kept to rebuild from. Rejects with `CONFLICT` if there is no such projection, or
   * somebody is not so far.
   */
  compact(options: CompactOptions): Promise<Compacted>;
}

const MAX_NAME = 48; // it becomes part of a key

/** {@link JournalClient}, with its types erased. */
export class OpenJournal implements JournalClient {
  readonly #home: JournalHome;
  readonly #journal: Journal;
  readonly #writer: JournalWriter;

  constructor(home: JournalHome, journal: Journal, writer: JournalWriter) {
    this.#home = home;
    this.#journal = journal;
    this.#writer = writer;
  }

  async append(
    key: string,
    events: NewEvent | readonly NewEvent[],
    { timeout, signal, ...rest }: AppendOptions = {},
  ): Promise<Appended> {
    const append = prepareAppend(this.#journal, this.#maxPayload, { key, events, ...rest });
    return this.#counted(1, this.#writer.append(append, causes(), appendDeadline(timeout), signal));
  }

  async appendAll(
    appends: readonly AppendOf<NewEvent>[],
    { timeout, signal }: Pick<AppendOptions, "timeout" | "signal"> = {},
  ): Promise<Appended[]> {
    const { name } = this.#journal;
    const prepared = appends.map((one) => prepareAppend(this.#journal, this.#maxPayload, one));
    if (prepared.length === 0) return [];
    if (prepared.length > MAX_BATCH) {
      const text = `Journal ${name}: the broker stores ${MAX_BATCH} appends together, not ${prepared.length}.`;
      throw new MeshError("INVALID_INPUT", text);
    }
    if (new Set(prepared.map((one) => one.token)).size < prepared.length) {
      const text = `Journal ${name}: give each key once, with all its events.`;
      throw new MeshError("INVALID_INPUT", text);
    }
    const { length } = prepared;
    return this.#counted(
      length,
      this.#writer.appendAll(prepared, causes(), appendDeadline(timeout), signal),
    );
  }

  async *read(options: ReadOptions = {}): AsyncGenerator<JournalEvent, void, undefined> {
    const { key, from, to, limit = Infinity, signal } = options;
    checkPlace("from", from, "all");
    checkPlace("to", to);
    let left = limit;
    const source = this.#source(key);
    for await (const record of readRecords(this.#home.services, source, { from, to, signal })) {
      const events = eventsOf(this.#journal.types, record);
      const { key: own, id } = events.at(-1)!;
      this.#writer.seen.note(escapeKey(own), record.sequence, id);
      for (const event of events) {
        if (left-- <= 0) return;
        yield event;
      }
    }
  }

  async follow(handler: FollowHandler, options: FollowOptions = {}): Promise<Following> {
    const { key, from = "all", name, drainTimeout } = options;
    checkPlace("from", from, "all", "new");
    const { services } = this.#home;
    const source = this.#source(key);
    const begin = async (): Promise<Position> => {
      const first = await services.surely(async () => {
        await source.open();
        return beginning(services, source, from);
      });
      return { sequence: first - 1, index: Number.MAX_SAFE_INTEGER };
    };
    const observed: FollowHandler = (event, context) => {
      this.#writer.seen.note(escapeKey(event.key), event.sequence, event.id);
      return handler(event, context);
    };
    const follow = async (
      after: Position,
      handled: (position: Position) => void,
    ): Promise<Follower> => {
      const last = await services.surely(async () => {
        await source.open();
        return services.js.last(source.stream, source.subject);
      });
      const follower = new Follower(
        services,
        this.#journal,
        source,
        after,
        observed,
        handled,
        drainTimeout,
      );
      await follower.open(last?.sequence ?? 0);
      return follower;
    };
    if (name === undefined) return this.#home.keep(await follow(await begin(), () => undefined));
    const named = new NamedFollower({
      services,
      leases: this.#home.leases,
      bucket: this.#home.compactions.bucket,
      key: `f.j.${this.#journal.name}.${demandName(name)}`,
      beginning: begin,
      follow,
    });
    await named.open();
    return this.#home.keep(named);
  }

  compact(options: CompactOptions): Promise<Compacted> {
    return compactJournal(this.#home, this.#source(undefined), this.#journal.name, options);
  }

  async #counted<T>(appends: number, storing: Promise<T>): Promise<T> {
    const { appended } = this.#home.services.runtime.metrics;
    const journal = this.#journal.name;
    try {
      const result = await storing;
      appended.with({ journal, outcome: "ok" }).value += appends;
      return result;
    } catch (error) {
      appended.with({ journal, outcome: toMeshError(error).code }).value += appends;
      throw error;
    }
  }

  get #maxPayload(): number {
    return this.#home.services.runtime.link.maxPayload;
  }

  #source(key: string | undefined): EventSource {
    const one = key === undefined ? undefined : escapeKey(demandKey(key));
    return journalSource(this.#home.services, this.#journal, one);
  }
}

/** Returns the name of a subscription or projection if it can be one. Throws `INVALID_CONTRACT`. */
export function demandName(name: string): string {
  token("Name", name);
  if (name.length <= MAX_NAME) return name;
  throw new MeshError("INVALID_CONTRACT", `The name ${name} has more than ${MAX_NAME} characters.`);
}

/** What causes an event that is appended here, beside the one before it. */
function causes(): string[] {
  const scope = currentScope();
  return scope === undefined ? [] : [scope.id];
}
