import type { z } from "zod";
import { MeshError } from "./errors.ts";
import { token } from "./token.ts";
import { EventTypes, type EventSpec, type SchemaOf } from "./versioned-event.ts";

type Specs = Readonly<Record<string, EventSpec>>;

/** The schema of each kind of event. */
export type EventSchemas<Events extends Specs> = {
  readonly [E in keyof Events]: SchemaOf<Events[E]>;
};

/** A journal's contract: its name and the kinds of events that are recorded in it, by key and in order. */
export interface Journal<
  Events extends Readonly<Record<string, z.ZodType>> = Readonly<Record<string, z.ZodType>>,
> {
  readonly kind: "journal";
  readonly name: string;
  readonly description: string;
  /** What each kind of event carries now. */
  readonly events: Events;
  /** How they are recorded and read, those of older versions included. */
  readonly types: EventTypes;
}

/**
 * Declares a journal. Its name and those of its events are tokens (`[A-Za-z0-9_-]{1,63}`); anything malformed throws
 * `INVALID_CONTRACT` at once.
 *
 * @example
 * const Orders = journal("orders", {
 *   events: {
 *     placed: { version: 2, schema: z.object({ cents: z.number() }), upcast: { 1: ({ euros }) => ({ cents: euros * 100 }) } },
 *     canceled: z.object({ reason: z.string() }),
 *   },
 * });
 */
export function journal<const Events extends Specs>(
  name: string,
  spec: { description?: string; events: Events },
): Journal<EventSchemas<Events>> {
  token("Journal name", name);
  const { description = "", events } = spec;
  if (Object.keys(events).length === 0) {
    throw new MeshError("INVALID_CONTRACT", `Journal ${name} has no event.`);
  }
  const types = new EventTypes(`Journal ${name}`, events);
  return { kind: "journal", name, description, events: schemasOf(events), types };
}

/** The schemas alone. */
export function schemasOf<Events extends Specs>(events: Events): EventSchemas<Events> {
  const schemas: Record<string, z.ZodType> = {};
  for (const [type, spec] of Object.entries(events)) {
    schemas[type] = "schema" in spec && "version" in spec ? spec.schema : spec;
  }
  return schemas as EventSchemas<Events>;
}
