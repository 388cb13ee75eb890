import { escapeKey, partitionOf, type Entity } from "@plexus/core";
import type { z } from "zod";
import { nowMs } from "./clock.ts";
import type { EntityServices } from "./entity-services.ts";
import { entitySource, type EntityEvent, type EventSource } from "./event-source.ts";
import { checkPlace, readRecords, type Asking, type Range } from "./record-reader.ts";

/** A state as it was. */
export interface EntityState<E extends Entity = Entity> {
  readonly state: z.output<E["state"]>;
  /** Of the last record that is in it; 0: nothing had happened yet. */
  readonly sequence: number;
}

/** Which events of a key are read. */
export interface HistoryOptions extends Range {
  /** How many events at most. */
  readonly limit?: number;
}

/** What a key was, and what has happened to it: read from the journal, without asking the key's owner. */
export interface EntityPast<E extends Entity = Entity> {
  /**
   * The state as of a sequence (as `context.version` and an event tell it) or a time by the broker's clock. Reads all that was recorded of
   * the key until then. Rejects with `INCOMPATIBLE_EVENT`, `NOT_CONNECTED`.
   */
  at(when: number | Date, options?: { signal?: AbortSignal }): Promise<EntityState<E>>;
  /** The events of the key, in order, as far as they were recorded when the reading began. */
  history(options?: HistoryOptions): AsyncIterable<EntityEvent<E>>;
}

const PATIENCE_MS = 30_000;

/** The past of one key, with its types erased. */
export function pastOf(services: EntityServices, entity: Entity, key: string): EntityPast {
  const { runtime, js, store } = services;
  const partition = partitionOf(key, entity.partitions);
  const subject = runtime.subjects.log(entity.name, partition, escapeKey(key));
  const asking: Asking = {
    js,
    surely: (ask, unneeded) => services.surely(ask, unneeded, nowMs() + PATIENCE_MS),
  };
  const source = entitySource(store, entity, subject);
  return {
    at: (when, options) => stateAt(asking, source, entity, key, when, options),
    history: (options = {}) => history(asking, source, options),
  };
}

async function stateAt(
  asking: Asking,
  source: EventSource,
  entity: Entity,
  key: string,
  when: number | Date,
  { signal }: { signal?: AbortSignal } = {},
): Promise<EntityState> {
  const to = typeof when === "number" ? { sequence: when } : { time: when };
  checkPlace(`${entity.name} ${key}: at()`, to);
  let state: unknown = entity.initial(key);
  let sequence = 0;
  for await (const record of readRecords(asking, source, { to, signal })) {
    for (const { type, data } of source.events(record)) {
      state = entity.fold[type]!(state, data); // there is one for each event that can be read
    }
    ({ sequence } = record);
  }
  return { state, sequence };
}

async function* history(
  asking: Asking,
  source: EventSource,
  { from, to, limit = Infinity, signal }: HistoryOptions,
): AsyncGenerator<EntityEvent, void, undefined> {
  checkPlace("from", from, "all");
  checkPlace("to", to);
  let left = limit;
  for await (const record of readRecords(asking, source, { from, to, signal })) {
    for (const event of source.events(record)) {
      if (left-- <= 0) return;
      yield event;
    }
  }
}
