import { MeshError, type Agent, type Duration } from "@plexus/core";
import { z } from "zod";
import type { JsonSchema, ToolSpec } from "./model.ts";
import { jsonSchema, type Checked } from "./structured.ts";

/** What a tool is told of the call it serves. */
export interface ToolContext {
  readonly signal: AbortSignal;
  /** The same whenever this call is executed again: for whatever takes an idempotency key. */
  readonly key: string;
}

/** Something that a model can call; made by {@link tool} or {@link agentTool}. */
export interface Tool {
  readonly name: string;
  readonly description: string;
  readonly schema: JsonSchema;
  check(input: unknown): Checked;
  run(input: unknown, context: ToolContext): unknown;
}

/** What reaches agents: a mesh. */
export interface Caller {
  invoke(
    agent: string,
    capability: string,
    input: unknown,
    options?: { readonly timeout?: Duration; readonly signal?: AbortSignal },
  ): Promise<unknown>;
}

/** A local function as a tool. Its input has been checked when it runs; its result must be plain data. */
export function tool<S extends z.ZodType>(
  name: string,
  options: {
    readonly description: string;
    readonly input: S;
    readonly run: (input: z.output<S>, context: ToolContext) => unknown;
  },
): Tool {
  const { description, input, run } = options;
  return {
    name,
    description,
    schema: jsonSchema(input),
    check: (value) => checked(input, value),
    run: (value, context) => run(value as z.output<S>, context),
  };
}

/** A capability of an agent as a tool: the model of one agent calls another agent. */
export function agentTool<A extends Agent>(
  caller: Caller,
  contract: A,
  capability: keyof A["capabilities"] & string,
  options: {
    readonly name?: string;
    readonly description?: string;
    readonly timeout?: Duration;
  } = {},
): Tool {
  const spec = contract.capabilities[capability];
  if (spec === undefined) {
    throw new MeshError("NO_CAPABILITY", `Agent ${contract.name} has no capability ${capability}.`);
  }
  const { timeout } = options;
  return {
    name: options.name ?? `${contract.name}_${capability}`,
    description: options.description ?? spec.description ?? contract.description,
    schema: jsonSchema(spec.input),
    check(value) {
      const result = checked(spec.input, value);
      return "value" in result ? { value } : result; // as it came: the host parses it, and once is enough
    },
    async run(input, { signal }) {
      const output = await caller.invoke(contract.name, capability, input, {
        signal,
        ...(timeout === undefined ? {} : { timeout }),
      });
      const result = checked(spec.output, output);
      if ("value" in result) return result.value;
      throw new MeshError("INVALID_OUTPUT", `${contract.name}.${capability}: ${result.problem}`);
    },
  };
}

/** A tool as a model sees it. */
export function toolSpec({ name, description, schema }: Tool): ToolSpec {
  return { name, description, input: schema };
}

function checked(schema: z.ZodType, value: unknown): Checked {
  const parsed = schema.safeParse(value);
  return parsed.success ? { value: parsed.data } : { problem: z.prettifyError(parsed.error) };
}
