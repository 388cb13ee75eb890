import { MeshError } from "@plexus/core";
import { z } from "zod";
import { newId } from "./id.ts";

/** What is known of how a channel merges; `overwrite` takes one write in a step, the others any number. */
export type ChannelKind = "overwrite" | "append" | "sum" | "messages" | "reduced";

/**
 * One part of a graph's state: the schema of an update, and how updates become the value. Made by {@link append},
 * {@link sum}, {@link messages} and {@link reduced}; a plain zod schema is an overwrite channel.
 */
export interface Channel<Value = unknown, Update = unknown> {
  readonly kind: ChannelKind;
  /** Checks an update, when a node returns it and before it is recorded. */
  readonly schema: z.ZodType<Update>;
  /** The value before the first update. */
  initial(): Value;
  /** The value after all updates of one step, in the order of the step's tasks. Pure; does not change what it is given. */
  merge(current: Value, updates: readonly Update[]): Value;
}

/** The channels of a graph by name; names are what nodes read and write. */
export type Channels = Readonly<Record<string, z.ZodType | Channel>>;

/** What a node reads. */
export type StateOf<C extends Channels> = {
  readonly [K in keyof C]: C[K] extends Channel<infer Value>
    ? Value
    : C[K] extends z.ZodType
      ? z.output<C[K]>
      : never;
};

/** What a node returns: an update for any of the channels. */
export type UpdateOf<C extends Channels> = {
  readonly [K in keyof C]?: C[K] extends {
    readonly kind: ChannelKind;
    readonly schema: z.ZodType<infer Update>;
  }
    ? Update
    : C[K] extends z.ZodType
      ? z.input<C[K]>
      : never;
};

/** A list that updates are appended to. An update is a list of items. Default: empty. */
export function append<Item extends z.ZodType>(
  item: Item,
): Channel<readonly z.output<Item>[], readonly z.output<Item>[]> {
  return {
    kind: "append",
    schema: z.array(item),
    initial: () => [],
    merge: (current, updates) => {
      const [only] = updates;
      return updates.length === 1 ? current.concat(only!) : current.concat(updates.flat());
    },
  };
}

/** A number that updates are added to. Default: 0. */
export function sum(): Channel<number, number> {
  return {
    kind: "sum",
    schema: z.number(),
    initial: () => 0,
    merge: (current, updates) => {
      let total = current;
      for (const update of updates) total += update;
      return total;
    },
  };
}

/** What {@link messages} understands of a message; further fields stay as they are. */
export interface Message {
  readonly id: string;
  readonly role: string;
  readonly [field: string]: unknown;
}

const REMOVE = "remove";

const NewMessage = z
  .looseObject({ id: z.string().min(1).optional(), role: z.string() })
  // Here and not while merging: it is recorded, so whoever merges again meets the same ids.
  .transform((message): Message => ({ ...message, id: message.id ?? newId() }));

/** An update of a message without an id is given one. */
export type NewMessage = z.input<typeof NewMessage>;

/**
 * A conversation. A message with a known id replaces that message, {@link removeMessage} takes it out, any other is
 * appended; one without an id is given one. Default: empty.
 */
export function messages(): Channel<readonly Message[], readonly NewMessage[]> {
  return {
    kind: "messages",
    schema: z.array(NewMessage),
    initial: () => [],
    merge: (current, updates) => {
      const byId = new Map(current.map((message) => [message.id, message]));
      for (const message of updates.flat() as Message[]) {
        if (message.role === REMOVE) byId.delete(message.id);
        else byId.set(message.id, message);
      }
      return [...byId.values()];
    },
  };
}

/** An update of a {@link messages} channel that takes a message out. */
export function removeMessage(id: string): Message {
  return { id, role: REMOVE };
}

/**
 * A channel with a reducer of one's own, called once per update. It must be pure: a run that is resumed elsewhere calls it
 * again with the same updates.
 *
 * @example
 * const best = reduced(z.number(), { initial: () => -Infinity, reducer: Math.max });
 */
export function reduced<Update extends z.ZodType, Value = z.output<Update>>(
  update: Update,
  options: {
    readonly initial: () => Value;
    readonly reducer: (current: Value, update: z.output<Update>) => Value;
  },
): Channel<Value, z.output<Update>> {
  const { initial, reducer } = options;
  if (typeof reducer !== "function" || typeof initial !== "function") {
    throw new MeshError("INVALID_CONTRACT", "A reduced channel needs initial and reducer.");
  }
  return {
    kind: "reduced",
    schema: update as unknown as z.ZodType<z.output<Update>>,
    initial,
    merge: (current, updates) => {
      let value = current;
      for (const one of updates) value = reducer(value, one);
      return value;
    },
  };
}

/** A zod schema as the channel that holds its last value. Its default, if it has one, is the value before that. */
export function overwrite(schema: z.ZodType): Channel {
  const initial = schema.safeParse(undefined);
  return {
    kind: "overwrite",
    schema,
    initial: () => (initial.success ? initial.data : undefined),
    merge: (_, updates) => updates.at(-1),
  };
}

/** True for what {@link append} and its like have made. */
export function isChannel(value: unknown): value is Channel {
  return typeof value === "object" && value !== null && "kind" in value && "merge" in value;
}
