import { createHash } from "node:crypto";
import { MeshError } from "@plexus/core";
import type { NewChatMessage, ToolCall, ToolResult } from "./conversation.ts";

/** An agent that another one may hand off to. */
export interface Peer {
  readonly name: string;
  readonly description: string;
}

/** Whom to hand off to, and what for. */
export interface Order {
  readonly to: string;
  readonly task?: string;
  /** The call by which a model has asked for it. */
  readonly call?: ToolCall;
}

/** A call and what it came to. */
export interface AnsweredCall {
  readonly call: ToolCall;
  readonly result: ToolResult;
}

/** An agent's reply that another agent is to go on. Made by {@link handoff}, and by {@link modelAgent} when its model says so. */
export class Handoff {
  readonly orders: readonly Order[];
  readonly text: string;
  /** What the agent has worked before it handed off. */
  readonly working: readonly NewChatMessage[];
  /** Further calls of the message that hands off. */
  readonly others: readonly AnsweredCall[];

  constructor(
    orders: readonly Order[],
    options: {
      readonly text?: string;
      readonly working?: readonly NewChatMessage[];
      readonly others?: readonly AnsweredCall[];
    } = {},
  ) {
    this.orders = orders;
    this.text = options.text ?? "";
    this.working = options.working ?? [];
    this.others = options.others ?? [];
  }
}

/**
 * Hands off to another agent, or, where a supervisor does, to several at once. In the history it is a tool call and its tool message.
 *
 * @example
 * ({ messages }) => wantsMoney(messages) ? handoff("billing", { task: "refund order 7" }) : "You are welcome.";
 */
export function handoff(
  to: string | readonly string[],
  options: {
    /** What the other agent is to do; it reads it as `task`. */
    readonly task?: string;
    /** What is said along with it. */
    readonly text?: string;
    /** What was worked before: tool calls and their results, for instance. */
    readonly working?: readonly NewChatMessage[];
  } = {},
): Handoff {
  const { task, ...rest } = options;
  const names = typeof to === "string" ? [to] : to;
  return new Handoff(
    names.map((name): Order => (task === undefined ? { to: name } : { to: name, task })),
    rest,
  );
}

/** A tool as models are told of it. */
export interface ToolSpec {
  readonly name: string;
  readonly description: string;
  /** JSON Schema. */
  readonly input: Record<string, unknown>;
}

const TO = "transfer_to_";
const BACK = "transfer_back_to_";

/** Longest name of an agent whose hand-off tools have names that providers take (64 characters). */
export const MAX_AGENT_NAME = 64 - BACK.length;

/** The tool by which a model hands off to an agent. */
export function handoffTool({ name, description }: Peer): ToolSpec {
  return {
    name: `${TO}${name}`,
    description:
      description === "" ? `Hand off to ${name}.` : `Hand off to ${name}: ${description}`,
    input: {
      type: "object",
      properties: { task: { type: "string", description: `What ${name} is to do.` } },
      additionalProperties: false,
    },
  };
}

/** The same for whoever executes this turn again, and different for every other call. */
export function callId(turn: string, index: number): string {
  return `call_${createHash("sha256").update(`${turn}#${index}`).digest("hex").slice(0, 24)}`;
}

/** The call by which an order is carried out, and its result. */
export function transfer(turn: string, index: number, { to, task, call }: Order): AnsweredCall {
  const made = call ?? {
    id: callId(turn, index),
    name: `${TO}${to}`,
    input: task === undefined ? {} : { task },
  };
  return answered(made, `Handed off to ${to}.`);
}

/** The call by which an agent gives the floor back. */
export function transferBack(turn: string, to: string, failed = false): AnsweredCall {
  const call = { id: callId(turn, 0), name: `${BACK}${to}`, input: {} };
  return answered(call, failed ? `${to} is told of the failure.` : `Handed back to ${to}.`);
}

export function answered(
  { id, name, ...call }: ToolCall,
  output: unknown,
  failed = false,
): AnsweredCall {
  return {
    call: { id, name, ...call },
    result: { id, name, output, ...(failed ? { failed } : {}) },
  };
}

/**
 * Who goes on, and the calls by which they do. Throws `INVALID_OUTPUT` for nobody, somebody who is none of `names`, and more than can go
 * on: one, or where `several` can, each once. A model that calls for more is not wrong, but told so.
 */
export function carryOut(
  turn: string,
  { orders, others }: Handoff,
  names: readonly string[],
  several: boolean,
): { readonly to: string[]; readonly calls: AnsweredCall[] } {
  if (orders.length === 0) throw new MeshError("INVALID_OUTPUT", "it hands off to nobody");
  const to: string[] = [];
  const calls = orders.map((order, i) => {
    if (!names.includes(order.to)) {
      const text = `it hands off to ${order.to}, which is none of ${names.join(", ")}`;
      throw new MeshError("INVALID_OUTPUT", text);
    }
    if (to.length === 0 || (several && !to.includes(order.to))) {
      to.push(order.to);
      return transfer(turn, i, order);
    }
    const why = several ? `${order.to} can do one thing at a time` : "only one agent can go on";
    if (order.call !== undefined) return answered(order.call, `Not handed off: ${why}.`, true);
    throw new MeshError("INVALID_OUTPUT", `it hands off to ${order.to} as well, and ${why}`);
  });
  return { to, calls: [...calls, ...others] };
}

/** The last hand-offs, for a message that says why there may be no more of them. */
export function pathOf(messages: readonly NewChatMessage[]): string {
  const names = messages.flatMap((message) =>
    message.role === "assistant" && message.toolCalls
      ? message.toolCalls.flatMap(
          ({ name }) => /^transfer(?:_back)?_to_(.+)$/.exec(name)?.[1] ?? [],
        )
      : [],
  );
  return `… → ${names.slice(-6).join(" → ")}`;
}

/** What an agent was told to do by whoever last handed off to it, since somebody from outside has spoken. */
export function taskFor(agent: string, messages: readonly NewChatMessage[]): string | undefined {
  for (const message of messages.toReversed()) {
    if (message.role === "user") return undefined;
    if (message.role !== "assistant") continue;
    const call = message.toolCalls?.find(({ name }) => name === `${TO}${agent}`);
    if (call === undefined) continue;
    const { task } = (call.input ?? {}) as { readonly task?: unknown };
    return typeof task === "string" ? task : undefined;
  }
  return undefined;
}
