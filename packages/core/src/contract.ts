import { z } from "zod";
import { toMs, type Duration } from "./duration.ts";
import { MeshError } from "./errors.ts";
import { isSchema } from "./schema.ts";
import { resolveDurability, type Durability } from "./task.ts";
import { token } from "./token.ts";

/** What one capability takes and gives. */
export interface Capability {
  readonly description?: string;
  readonly input: z.ZodType;
  /** The answer; for a streaming capability, what the handler returns at the end. */
  readonly output: z.ZodType;
  /** Present on a streaming capability: the schema of each chunk. */
  readonly stream?: z.ZodType;
  /** Running it twice does no harm, so a call whose fate is unknown may be repeated elsewhere. Default false. */
  readonly idempotent?: boolean;
  /** How long a caller waits who names no timeout of its own. Default 30 s. Bounds each attempt of a task, if given. */
  readonly timeout?: Duration;
  /** May be submitted as a task: queued by the broker, tried until it ends, its result recorded once. */
  readonly durable?: true | Durability;
}

/** An agent's contract: what callers and hosts share. A value, never an implementation. */
export interface Agent<
  Capabilities extends Record<string, Capability> = Record<string, Capability>,
> {
  readonly kind: "agent";
  readonly name: string;
  readonly description: string;
  readonly version: string;
  readonly capabilities: Capabilities;
}

/**
 * Declares an agent. Names are tokens (`[A-Za-z0-9_-]{1,63}`, and neither `__proto__` nor, for a capability, `then`);
 * anything malformed throws `INVALID_CONTRACT` at once.
 *
 * @example
 * const Greeter = agent("greeter", {
 *   capabilities: { greet: { input: z.object({ name: z.string() }), output: z.string(), idempotent: true } },
 * });
 */
export function agent<const Capabilities extends Record<string, Capability>>(
  name: string,
  spec: { description?: string; version?: string; capabilities: Capabilities },
): Agent<Capabilities> {
  token("Agent name", name);
  const version = spec.version ?? "0.0.0";
  if (!/^\d+\.\d+\.\d+(?:-[\w.-]+)?$/.test(version)) {
    throw new MeshError(
      "INVALID_CONTRACT",
      `Agent ${name}: version "${version}" is not like 1.2.3.`,
    );
  }
  if (Object.keys(spec.capabilities).length === 0) {
    throw new MeshError("INVALID_CONTRACT", `Agent ${name} has no capability.`);
  }
  for (const [key, capability] of Object.entries(spec.capabilities)) {
    token(`Agent ${name}: capability name`, key);
    if (key === "then") {
      throw new MeshError("INVALID_CONTRACT", `${name}.then: a client with it would be a promise.`);
    }
    for (const part of ["input", "output", "stream"] as const) {
      const schema: unknown = capability?.[part];
      if (!isSchema(schema) && !(part === "stream" && schema === undefined)) {
        throw new MeshError("INVALID_CONTRACT", `${name}.${key}: ${part} is not a zod schema.`);
      }
    }
    if (capability.timeout !== undefined) toMs(capability.timeout);
    if (capability.durable === undefined) continue;
    if (capability.stream !== undefined) {
      throw new MeshError("INVALID_CONTRACT", `${name}.${key}: a stream cannot be durable.`);
    }
    resolveDurability(capability.durable);
  }
  return {
    kind: "agent",
    name,
    description: spec.description ?? "",
    version,
    capabilities: spec.capabilities,
  };
}

/** A capability as JSON: what discovery, MCP tools and A2A skills are made of. */
export interface CapabilityDescription {
  readonly description: string;
  readonly idempotent: boolean;
  readonly streaming: boolean;
  readonly durable: boolean;
  /** JSON Schema (draft 2020-12) of the input a caller sends. */
  readonly input: unknown;
  readonly output: unknown;
}

/** An agent's contract as JSON. */
export interface AgentDescription {
  readonly name: string;
  readonly description: string;
  readonly version: string;
  readonly capabilities: Record<string, CapabilityDescription>;
}

/** Derives the JSON description of a contract. Parts that JSON Schema cannot express become `{}`. */
export function describeAgent(contract: Agent): AgentDescription {
  const capabilities: Record<string, CapabilityDescription> = {};
  for (const [name, capability] of Object.entries(contract.capabilities)) {
    capabilities[name] = {
      description: capability.description ?? "",
      idempotent: capability.idempotent ?? false,
      streaming: capability.stream !== undefined,
      durable: capability.durable !== undefined,
      input: jsonSchema(capability.input, "input"),
      output: jsonSchema(capability.output, "output"),
    };
  }
  const { name, description, version } = contract;
  return { name, description, version, capabilities };
}

function jsonSchema(schema: z.ZodType, io: "input" | "output"): unknown {
  try {
    return z.toJSONSchema(schema, { io, unrepresentable: "any" });
  } catch {
    return {}; // a catch or lazy schema whose function throws, two schemas that share an id
  }
}
