import type { z } from "zod";
import {
  partitionToken,
  resolveDurableTopic,
  type DurableTopic,
  type ResolvedDurableTopic,
} from "./durable-topic.ts";
import { MeshError } from "./errors.ts";
import { partitionOf } from "./partition.ts";
import { isSchema } from "./schema.ts";
import { escapeKey, token } from "./token.ts";

type ParameterOf<Name extends string> = Name extends `${string}{${infer Parameter}}${infer Rest}`
  ? Parameter | ParameterOf<Rest>
  : never;

/** A schema whose values have a string or number for every parameter of the topic's name. */
export type TopicSchema<Name extends string> = [ParameterOf<Name>] extends [never]
  ? z.ZodType
  : z.ZodType<{ [P in ParameterOf<Name>]: string | number }>;

/** A topic's contract: its name and what is published on it. */
export interface Topic<Schema extends z.ZodType = z.ZodType, Parameter extends string = string> {
  readonly kind: "topic";
  /** As declared, parameters in braces: `bars.{symbol}`. */
  readonly name: string;
  readonly description: string;
  readonly schema: Schema;
  readonly parameters: readonly Parameter[];
  /** How its events are stored, if they are. */
  readonly durable?: ResolvedDurableTopic;
  /** What decides an event's partition. Default: the values of the parameters. */
  readonly key?: (value: never) => string;
}

/** What a topic is declared with. */
export interface TopicSpec<Schema extends z.ZodType> {
  readonly schema: Schema;
  readonly description?: string;
  /** Events are stored by the broker before `publish` resolves, and named subscriptions miss none. */
  readonly durable?: true | DurableTopic;
  /** Events of one key lie in one partition of a durable topic, in the order in which they were published. */
  readonly key?: (value: z.input<Schema>) => string;
}

const PARAMETER = /^\{([A-Za-z_$][\w$]*)\}$/;

/**
 * Declares a topic. A `{parameter}` in its name is filled from the published value's field of that name, so
 * subscribers can select by it on the broker.
 *
 * @example
 * const Bars = topic("bars.{symbol}", { schema: z.object({ symbol: z.string(), close: z.number() }) });
 */
export function topic<const Name extends string, Schema extends TopicSchema<Name>>(
  name: Name,
  spec: TopicSpec<Schema>,
): Topic<Schema, ParameterOf<Name>> {
  const parameters: string[] = [];
  for (const part of name.split(".")) {
    const parameter = PARAMETER.exec(part)?.[1];
    if (parameter === undefined) token(`Topic ${name}: part`, part);
    else if (parameters.includes(parameter)) {
      throw new MeshError("INVALID_CONTRACT", `Topic ${name} names {${parameter}} twice.`);
    } else parameters.push(parameter);
  }
  if (!isSchema(spec.schema)) {
    throw new MeshError("INVALID_CONTRACT", `Topic ${name}: schema is not a zod schema.`);
  }
  const { key } = spec;
  const durable = spec.durable === undefined ? undefined : resolveDurableTopic(name, spec.durable);
  if (key !== undefined && (typeof key !== "function" || durable === undefined)) {
    throw new MeshError(
      "INVALID_CONTRACT",
      `Topic ${name}: key is a function, and of durable topics only: others have no partitions.`,
    );
  }
  return {
    kind: "topic",
    name,
    description: spec.description ?? "",
    schema: spec.schema,
    parameters: parameters as ParameterOf<Name>[],
    ...(durable === undefined ? {} : { durable }),
    ...(key === undefined ? {} : { key }),
  };
}

/** The subject part for publishing `value`: every parameter replaced by the escaped field of that name. */
export function topicSubject(contract: Topic, value: unknown): string {
  if (contract.parameters.length === 0) return contract.name;
  return fill(contract, (parameter) => {
    const field: unknown = (value as Record<string, unknown> | null)?.[parameter];
    if (typeof field === "string" || typeof field === "number") return escapeKey(String(field));
    throw new MeshError(
      "INVALID_INPUT",
      `Topic ${contract.name}: the value's ${parameter} must be a string or number.`,
    );
  });
}

/**
 * The partition of an event of a durable topic that goes to `subject` (what {@link topicSubject} gave).
 * @param key instead of the contract's own
 */
export function topicPartition(
  contract: Topic,
  value: unknown,
  subject: string,
  key?: string,
): number {
  const partitions = contract.durable?.partitions ?? 1;
  if (partitions === 1) return 0;
  const decides = key ?? (contract.key ? contract.key(value as never) : subject);
  if (typeof decides === "string") return partitionOf(decides, partitions);
  throw new MeshError("INVALID_INPUT", `Topic ${contract.name}: an event's key must be a string.`);
}

/** The subject part that events of a partition are stored under; `subject` may hold wildcards. */
export function partitionSubject(contract: Topic, subject: string, partition: number): string {
  const several = contract.durable !== undefined && contract.durable.partitions > 1;
  return several ? `${subject}.${partitionToken(partition)}` : subject;
}

/**
 * The subject part for subscribing: parameters that `where` leaves open become the wildcard `*`, and so do the partitions
 * of a durable topic.
 */
export function topicPattern(
  contract: Topic,
  where: Readonly<Record<string, string | number | undefined>> = {},
): string {
  const pattern = parameterPattern(contract, where);
  return contract.durable !== undefined && contract.durable.partitions > 1
    ? `${pattern}.*`
    : pattern;
}

/** {@link topicPattern} without what stands for the partitions. */
export function parameterPattern(
  contract: Topic,
  where: Readonly<Record<string, string | number | undefined>> = {},
): string {
  for (const parameter of Object.keys(where)) {
    if (!contract.parameters.includes(parameter)) {
      throw new MeshError("INVALID_CONTRACT", `Topic ${contract.name} has no {${parameter}}.`);
    }
  }
  return fill(contract, (parameter) => {
    const wanted = Object.hasOwn(where, parameter) ? where[parameter] : undefined;
    return wanted === undefined ? "*" : escapeKey(String(wanted));
  });
}

function fill(contract: Topic, value: (parameter: string) => string): string {
  const parts = contract.name.split(".");
  return parts.map((part) => (part.startsWith("{") ? value(part.slice(1, -1)) : part)).join(".");
}
