import { KINDS, MeshError, type Entity, type Journal } from "@plexus/core";
import type { z } from "zod";
import type { EntityStore } from "./nats/entity-store.ts";
import { readCommand } from "./entity-record.ts";
import {
  eventId,
  eventsOf,
  type EventFacts,
  type JournalEvent,
  type StoredRecord,
} from "./journal-record.ts";
import type { JournalServices } from "./journal-services.ts";
import type { CursorSource } from "./stream-cursor.ts";
import { readEnvelope } from "./task-message.ts";

/** An event of an entity as its contract has it: `key` tells whose, `id` is that of the command that decided it. */
export type EntityEvent<E extends Entity = Entity> = {
  [N in keyof E["events"] & string]: EventFacts & {
    readonly type: N;
    readonly data: z.output<E["events"][N]>;
  };
}[keyof E["events"] & string];

/** What events can be read of: a journal or all keys of an entity. */
export type SourceContract = Journal | Entity;

/** The events of a source. */
export type SourceEvent<S extends SourceContract> = S extends Journal
  ? JournalEvent<S>
  : S extends Entity
    ? EntityEvent<S>
    : never;

/** An event with its types erased. */
export type AnyEvent = EventFacts & { readonly type: string; readonly data: unknown };

/** Where events are read, and how. */
export interface EventSource extends CursorSource {
  /** "Journal orders". */
  readonly title: string;
  /** Part of the keys under which is noted what was made of them. */
  readonly id: string;
  /** The events of a record; none for one that has none. Throws `BAD_MESSAGE` or `INCOMPATIBLE_EVENT`. */
  events(record: StoredRecord): readonly AnyEvent[];
}

/** The events of a journal: of all keys, or of one. */
export function journalSource(
  { store, runtime }: JournalServices,
  { name, types }: Journal,
  keyToken = "*",
): EventSource {
  return {
    title: `Journal ${name}`,
    id: `j.${name}`,
    stream: store.stream(name),
    subject: runtime.subjects.journal(name, keyToken),
    open: () => store.open(name),
    events: (record) => eventsOf(types, record),
  };
}

/** The events of all keys of an entity, or of one: `subject` says which. */
export function entitySource(store: EntityStore, entity: Entity, subject: string): EventSource {
  const { name, types } = entity;
  return {
    title: `Entity ${name}`,
    id: `e.${name}`,
    stream: store.journal,
    subject,
    open: () => store.open(),
    events({ data, sequence, storedAt }) {
      const envelope = readEnvelope(data);
      if (envelope.kind === KINDS.control) return NONE; // a fence
      const { id, key, events } = readCommand(data);
      const { sender: by } = envelope;
      return events.map((event, index): AnyEvent => {
        const [type, , version = 1] = event;
        return {
          sequence,
          index,
          key,
          type,
          version,
          data: types.read(event),
          parents: index === 0 ? [] : [eventId(id, index - 1)],
          at: storedAt,
          id: eventId(id, index),
          by,
        };
      });
    },
  };
}

/** Throws `INVALID_CONTRACT` for what is neither a journal nor an entity. */
export function demandSource(contract: SourceContract | undefined): void {
  if (contract?.kind === "journal" || contract?.kind === "entity") return;
  const text = "mesh.project() takes a contract made by journal() or entity().";
  throw new MeshError("INVALID_CONTRACT", text);
}

const NONE: readonly AnyEvent[] = [];
