import { MeshError } from "@plexus/core";
import type { NodeContext } from "../context.ts";
import type { AgentFunction, AgentInput } from "./agent.ts";
import type { ChatMessage, NewChatMessage, ToolCall } from "./conversation.ts";
import {
  Handoff,
  answered,
  handoffTool,
  type AnsweredCall,
  type Order,
  type ToolSpec,
} from "./handoff.ts";

type WithoutNames<M> = M extends ChatMessage ? Omit<M, "id" | "name" | "scratch"> : never;

/** What a model is asked, and what it answers. */
export interface ModelAsk {
  readonly system?: string;
  readonly messages: readonly WithoutNames<ChatMessage>[];
  readonly tools?: readonly ToolSpec[];
}

interface ModelAnswer {
  readonly text: string;
  readonly toolCalls: readonly ToolCall[];
}

interface AskOptions {
  readonly signal: AbortSignal;
  readonly idempotencyKey: string;
  readonly run: string;
}

/** What asks models: `Models` of @plexus/llm. */
export interface ChatModels {
  generate(role: string, ask: ModelAsk, options: AskOptions): Promise<ModelAnswer>;
  /** Needed only by agents that tell their answers as they come. */
  stream?(
    role: string,
    ask: ModelAsk,
    options: AskOptions,
  ): AsyncIterable<string> & { readonly answer: Promise<ModelAnswer> };
}

/** A tool that an agent's model may call: `Tool` of @plexus/llm. */
export interface AgentTool {
  readonly name: string;
  readonly description: string;
  /** JSON Schema. */
  readonly schema: Record<string, unknown>;
  check(input: unknown): { readonly value: unknown } | { readonly problem: string };
  run(input: unknown, context: { readonly signal: AbortSignal; readonly key: string }): unknown;
}

/** Options of {@link modelAgent}. */
export interface ModelAgentOptions {
  readonly system?: string;
  readonly tools?: readonly AgentTool[];
  /** Tells what the model says as it comes, to those who stream the run with mode `tokens`. Default: no. */
  readonly stream?: boolean;
  /** Calls of the model in one turn; one more fails with `STEP_LIMIT`. Default 10. */
  readonly maxSteps?: number;
}

/**
 * An agent that is a model, with tools, among them one for each agent that it may hand off to. What a tool throws is told to the model.
 * Each call of the model and of a tool is an effect: what was recorded is not done, or paid, again. What others have said is told to
 * the model with their names.
 */
export function modelAgent(
  models: ChatModels,
  role: string,
  options: ModelAgentOptions = {},
): AgentFunction {
  const { system, tools = [], maxSteps = 10 } = options;
  if (options.stream === true && models.stream === undefined) {
    throw new MeshError("INVALID_CONTRACT", `Agent ${role}: its models cannot stream.`);
  }
  const generate = async (
    ask: ModelAsk,
    context: NodeContext,
    idempotencyKey: string,
  ): Promise<ModelAnswer> => {
    const { signal, run } = context;
    const asking = { signal, run, idempotencyKey };
    const stream = options.stream === true ? models.stream!(role, ask, asking) : undefined;
    if (stream !== undefined) for await (const piece of stream) context.token(piece);
    const { text, toolCalls } = await (stream?.answer ?? models.generate(role, ask, asking));
    return { text, toolCalls };
  };
  const byName = new Map(tools.map((tool) => [tool.name, tool]));
  const own = tools.map(({ name, description, schema }) => ({ name, description, input: schema }));
  return async (input, context) => {
    const transfers = new Map(input.handoffs.map((peer) => [handoffTool(peer).name, peer.name]));
    const specs = [...own, ...input.handoffs.map(handoffTool)];
    const working: NewChatMessage[] = [];
    for (let step = 1; step <= maxSteps; step++) {
      const ask = {
        messages: [...input.messages, ...(working as ChatMessage[])].map((one) => told(input, one)),
        ...(system === undefined ? {} : { system }),
        ...(specs.length === 0 ? {} : { tools: specs }),
      };
      const { text, toolCalls } = await context.effect(`${role}.${step}`, (key) =>
        generate(ask, context, key),
      );
      if (toolCalls.length === 0) return [...working, { role: "assistant", text }];
      const orders = toolCalls.flatMap((call) => orderOf(call, transfers));
      const others = toolCalls.filter(({ name }) => !transfers.has(name));
      const results = await Promise.all(
        others.map((call, i) =>
          execute(byName.get(call.name), call, `${role}.${step}.${i}`, context),
        ),
      );
      if (orders.length > 0) return new Handoff(orders, { text, working, others: results });
      working.push(
        { role: "assistant", name: input.agent, text, toolCalls },
        { role: "tool", name: input.agent, results: results.map(({ result }) => result) },
      );
    }
    throw new MeshError("STEP_LIMIT", `its model has not answered within ${maxSteps} calls`);
  };
}

function orderOf(call: ToolCall, transfers: ReadonlyMap<string, string>): Order[] {
  const to = transfers.get(call.name);
  if (to === undefined) return [];
  const { task } = (call.input ?? {}) as { readonly task?: unknown };
  return [{ to, call, ...(typeof task === "string" ? { task } : {}) }];
}

/** As a model is to read it: without what means nothing to it, so that equal questions are equal; and with the names of others. */
function told({ agent }: AgentInput, message: ChatMessage): WithoutNames<ChatMessage> {
  const { id: _, name, scratch: __, ...rest } = message;
  if (rest.role !== "assistant" || name === undefined || name === agent || rest.text === "") {
    return rest;
  }
  return { ...rest, text: `${name}: ${rest.text}` };
}

/** One call of a tool. Only the run's own end makes it reject. */
function execute(
  tool: AgentTool | undefined,
  call: ToolCall,
  effect: string,
  context: NodeContext,
): Promise<AnsweredCall> {
  return context.effect(effect, async (key) => {
    if (tool === undefined) return answered(call, `There is no tool ${call.name}.`, true);
    const input = tool.check(call.input);
    if ("problem" in input) {
      return answered(call, `The input does not match: ${input.problem}`, true);
    }
    try {
      const { signal } = context;
      return answered(call, (await tool.run(input.value, { signal, key })) ?? null);
    } catch (error) {
      if (context.signal.aborted) throw error;
      return answered(call, error instanceof Error ? error.message : String(error), true);
    }
  });
}
