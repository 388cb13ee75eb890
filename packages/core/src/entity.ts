import { z } from "zod";
import { describeAgent, agent, type AgentDescription } from "./contract.ts";
import { toMs, type Duration } from "./duration.ts";
import { MeshError } from "./errors.ts";
import { DEFAULT_PARTITIONS } from "./partition.ts";
import { schemasOf, type EventSchemas } from "./journal.ts";
import { isSchema } from "./schema.ts";
import { EventTypes, type EventSpec } from "./versioned-event.ts";

/** What one command of an entity takes and gives. */
export interface Command {
  readonly description?: string;
  readonly input: z.ZodType;
  readonly output: z.ZodType;
  /** How long a caller waits who names no timeout of its own. Default 30 s. */
  readonly timeout?: Duration;
}

type Schemas = Readonly<Record<string, z.ZodType>>;

/** How each event changes the state: pure, and without mutating what it is given. */
export type Folds<State extends z.ZodType, Events extends Schemas> = {
  // A method, so that a particular entity is also an Entity in general.
  readonly [E in keyof Events]: {
    fold(state: z.output<State>, event: z.output<Events[E]>): z.output<State>;
  }["fold"];
};

/**
 * An entity's contract: many keys, each with one owner at a time and a state that is the fold of its recorded events. A
 * value, never an implementation: what a command decides is up to whoever hosts it.
 */
export interface Entity<
  State extends z.ZodType = z.ZodType,
  Events extends Schemas = Schemas,
  Commands extends Record<string, Command> = Record<string, Command>,
> {
  readonly kind: "entity";
  readonly name: string;
  readonly description: string;
  readonly version: string;
  /** Keys are spread over so many partitions, each with one owner. Fixed for good: with another number, keys would move. */
  readonly partitions: number;
  /** How long a partition whose owner has died is without one, in ms. */
  readonly leaseMs: number;
  readonly state: State;
  /** What each kind of event carries now. */
  readonly events: Events;
  /** How they are recorded and read, those of older versions included. */
  readonly types: EventTypes;
  readonly commands: Commands;
  readonly fold: Folds<State, Events>;
  /** The state of a key that nothing has happened to. */
  initial(key: string): z.output<State>;
}

const MAX_PARTITIONS = 4_096;
const MIN_LEASE_MS = 500; // less than a pause of the event loop or a reconnection would lose it

/**
 * Declares an entity. Names are tokens (`[A-Za-z0-9_-]{1,63}`); anything malformed throws `INVALID_CONTRACT` at once.
 *
 * @example
 * const Account = entity("account", {
 *   state: z.object({ cents: z.number().int() }),
 *   initial: { cents: 0 },
 *   events: { deposited: z.object({ cents: z.number().int() }) },
 *   fold: { deposited: (state, event) => ({ cents: state.cents + event.cents }) },
 *   commands: { deposit: { input: z.number().int().positive(), output: z.number() } },
 * });
 */
export function entity<
  State extends z.ZodType,
  const Events extends Readonly<Record<string, EventSpec>>,
  const Commands extends Record<string, Command>,
>(
  name: string,
  spec: {
    description?: string;
    version?: string;
    /** Default 64. */
    partitions?: number;
    /** How long an owner that is not heard of keeps its partitions; at least 500 ms. Default 5 s. */
    lease?: Duration;
    state: State;
    initial: z.input<State> | ((key: string) => z.input<State>);
    /** The schema of each event; `{ version, schema, upcast }` for one whose shape has changed since it was first recorded. */
    events: Events;
    fold: Folds<State, EventSchemas<Events>>;
    commands: Commands;
  },
): Entity<State, EventSchemas<Events>, Commands> {
  const { state, events, commands, fold, initial } = spec;
  const demand = (condition: boolean, text: string): void => {
    if (!condition) throw new MeshError("INVALID_CONTRACT", `Entity ${name}: ${text}.`);
  };
  const { description, version } = asAgent(name, spec.description, spec.version, commands);
  const partitions = spec.partitions ?? DEFAULT_PARTITIONS;
  demand(
    Number.isInteger(partitions) && partitions >= 1 && partitions <= MAX_PARTITIONS,
    `partitions must be 1 to ${MAX_PARTITIONS}, not ${partitions}`,
  );
  const leaseMs = toMs(spec.lease ?? "5s");
  demand(leaseMs >= MIN_LEASE_MS, `lease must be at least ${MIN_LEASE_MS} ms`);
  demand(isSchema(state), "state is not a zod schema");
  const types = new EventTypes(`Entity ${name}`, events);
  for (const event of Object.keys(events)) {
    demand(typeof fold[event] === "function", `no fold for event ${event}`);
  }
  for (const event of Object.keys(fold)) demand(event in events, `a fold for no event: ${event}`);
  const first = (key: string): z.output<State> => {
    const make = initial as (key: string) => unknown;
    const parsed = state.safeParse(typeof initial === "function" ? make(key) : initial);
    if (parsed.success) return parsed.data;
    throw new MeshError(
      "INVALID_CONTRACT",
      `Entity ${name}: the initial state does not match its schema: ${parsed.error.message}`,
    );
  };
  if (typeof initial !== "function") first("");
  return {
    kind: "entity",
    name,
    description,
    version,
    partitions,
    leaseMs,
    state,
    events: schemasOf(events),
    types,
    commands,
    fold,
    initial: first,
  };
}

/** Derives the JSON description of an entity: its commands, as an agent's capabilities. */
export function describeEntity({ name, description, version, commands }: Entity): AgentDescription {
  return describeAgent(asAgent(name, description, version, commands));
}

/** Commands are named and described like capabilities. A command id makes each of them idempotent. */
function asAgent(
  name: string,
  description: string | undefined,
  version: string | undefined,
  commands: Record<string, Command>,
): ReturnType<typeof agent> {
  const capabilities: Record<string, Command & { idempotent: true }> = {};
  for (const [command, spec] of Object.entries(commands)) {
    capabilities[command] = { ...spec, idempotent: true };
  }
  return agent(name, {
    ...(description === undefined ? {} : { description }),
    ...(version === undefined ? {} : { version }),
    capabilities,
  });
}

/** How long a caller of a command waits by its contract, in ms. */
export function commandTimeoutMs({ timeout = "30s" }: Command): number {
  return toMs(timeout);
}
