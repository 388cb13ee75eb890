import type { z } from "zod";
import { MeshError } from "./errors.ts";
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
  spec: { schema: Schema; description?: string },
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
  return {
    kind: "topic",
    name,
    description: spec.description ?? "",
    schema: spec.schema,
    parameters: parameters as ParameterOf<Name>[],
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

/** The subject part for subscribing: parameters that `where` leaves open become the wildcard `*`. */
export function topicPattern(
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
