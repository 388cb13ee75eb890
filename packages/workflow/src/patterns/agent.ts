import { MeshError, type Duration, type RetryPolicy } from "@plexus/core";
import type { z } from "zod";
import type { Channel, Channels, StateOf, UpdateOf } from "../channel.ts";
import { CompiledGraph } from "../compiled-graph.ts";
import type { NodeContext } from "../context.ts";
import type { StateGraph } from "../graph.ts";
import { calls, type ChatMessage, type NewChatMessage } from "./conversation.ts";
import { Handoff, MAX_AGENT_NAME, type AnsweredCall, type Peer } from "./handoff.ts";
import type { SharingOptions } from "./sharing.ts";

/** What an agent is given when it is its turn. */
export interface AgentInput {
  /** Its own name in the pattern. */
  readonly agent: string;
  /** The conversation, as far as it is shared with it. If the run was begun with a user's message, it never ends with an assistant's. */
  readonly messages: readonly ChatMessage[];
  /** What it is to do, if whoever has handed off to it has said so. */
  readonly task: string | undefined;
  /** To whom it may hand off. */
  readonly handoffs: readonly Peer[];
}

/** What an agent replies: its answer; or all messages of its working, the last of which is its answer; or a hand-off. */
export type AgentReply = string | readonly NewChatMessage[] | Handoff;

/** An agent: a node whose state is a conversation. It may wait and have effects, as any node. */
export type AgentFunction = (
  input: AgentInput,
  context: NodeContext,
) => AgentReply | Promise<AgentReply>;

/** What patterns with a conversation are started with. */
export interface ConversationInput {
  readonly messages?: readonly NewChatMessage[];
}

/** What they result in. */
export interface ConversationOutput {
  readonly messages: readonly ChatMessage[];
}

/** A compiled pattern, or any graph with a conversation, as an agent of another pattern. It is given the messages, and its last one is its answer. */
export type Team = CompiledGraph<ConversationInput, ConversationOutput>;

/** An agent and how it is executed. */
export interface AgentSpec {
  readonly run: AgentFunction | Team;
  /** What it is good for: models that may hand off to it are told. */
  readonly description?: string;
  /** Default: one attempt. Not for teams, whose nodes have their own. */
  readonly retry?: RetryPolicy & { readonly when?: (error: unknown) => boolean };
  /** Of one attempt. Default: none. Not for teams. */
  readonly timeout?: Duration;
}

/** Agents by name, which also names their nodes. */
export type Agents<Spec extends AgentSpec = AgentSpec> = Readonly<
  Record<string, AgentFunction | Team | Spec>
>;

/** What all patterns have in common. */
export interface PatternOptions extends SharingOptions {
  /** The graph's name. Default: the pattern's. */
  readonly name?: string;
  /** The graph's version. */
  readonly version?: string;
}

/** What becomes of agents that throw. */
export interface FailureOptions {
  /** When its retries are used up: the run fails, or the failure counts as the agent's answer, for others to go on with. Default `fail`. */
  readonly onError?: "fail" | "report";
}

/** An agent of a pattern, with its name. */
export interface Member<Spec extends AgentSpec = AgentSpec> {
  readonly name: string;
  readonly spec: Spec;
}

/** The channel that patterns share. */
export type ConversationChannels = {
  readonly messages: Channel<readonly ChatMessage[], readonly NewChatMessage[]>;
};

/** What a pattern returns: a graph to be compiled. */
export type PatternGraph<C extends Channels = ConversationChannels> = StateGraph<
  C,
  z.ZodType<UpdateOf<C>, UpdateOf<C>>,
  z.ZodType<StateOf<C>>,
  string
>;

/** The agents of a pattern. Throws `INVALID_CONTRACT`, naming the culprit. */
export function membersOf<Spec extends AgentSpec>(
  pattern: string,
  agents: Agents<Spec>,
  {
    taken = [],
    atLeast = 1,
  }: { readonly taken?: readonly string[]; readonly atLeast?: number } = {},
): Member<Spec>[] {
  const fail = (text: string): never => {
    throw new MeshError("INVALID_CONTRACT", `Graph ${pattern}: ${text}.`);
  };
  const members = Object.entries(agents).map(([name, agent]): Member<Spec> => {
    if (!/^[A-Za-z_][\w-]*$/.test(name) || name.length > MAX_AGENT_NAME) {
      fail(
        `${name} is no name of an agent: a letter or _ and then letters, digits, _ or -, ${MAX_AGENT_NAME} at most`,
      );
    }
    if (taken.includes(name))
      fail(`an agent cannot be called ${name}, as the pattern has such a node`);
    const spec =
      typeof agent === "function" || agent instanceof CompiledGraph
        ? ({ run: agent } as Spec)
        : agent;
    if (typeof spec.run !== "function" && !(spec.run instanceof CompiledGraph)) {
      fail(`agent ${name} is neither a function nor a compiled graph`);
    }
    if (spec.run instanceof CompiledGraph) {
      if (!spec.run.plan.publicKeys.includes("messages")) {
        fail(`the graph of agent ${name} has no channel messages`);
      }
      if (spec.retry !== undefined || spec.timeout !== undefined) {
        fail(`agent ${name} is a graph: retry and timeout belong to its nodes`);
      }
    }
    return { name, spec };
  });
  if (members.length < atLeast) fail(`it needs ${atLeast} or more agents`);
  return members;
}

/** The peers that an agent may hand off to. */
export function peersOf(members: readonly Member[]): Peer[] {
  return members.map(({ name, spec }) => ({ name, description: spec.description ?? "" }));
}

/** A reply, read. */
export interface Turn {
  readonly working: readonly NewChatMessage[];
  readonly text: string;
  readonly handoff?: Handoff;
}

/** What an agent has replied to what it was `shown`. Throws `INVALID_OUTPUT` for what is no reply. */
export function readReply(reply: AgentReply, shown: readonly ChatMessage[]): Turn {
  if (typeof reply === "string") return { working: [], text: reply };
  // Some return the whole conversation: what is known stays as it is.
  const known = new Set<string | undefined>(shown.map(({ id }) => id));
  const fresh = (list: readonly NewChatMessage[]) => list.filter(({ id }) => !known.has(id));
  if (reply instanceof Handoff) {
    return { working: fresh(reply.working), text: reply.text, handoff: reply };
  }
  const last = Array.isArray(reply) ? (reply as readonly NewChatMessage[]).at(-1) : undefined;
  if (last?.role !== "assistant" || calls(last)) {
    throw new MeshError(
      "INVALID_OUTPUT",
      "its reply is neither a text, nor messages that end with its answer, nor a hand-off",
    );
  }
  return { working: fresh(reply.slice(0, -1)), text: last.text };
}

/** The turn, which must not be a hand-off where nobody hands off. Throws `INVALID_OUTPUT`. */
export function answerOf(pattern: string, turn: Turn): Turn {
  if (turn.handoff === undefined) return turn;
  const [order] = turn.handoff.orders;
  throw new MeshError(
    "INVALID_OUTPUT",
    `it hands off to ${order?.to}, and agents of ${pattern} do not hand off`,
  );
}

/** What an agent's failure counts as, where it is reported. */
export function failure({ message }: MeshError): Turn {
  return { working: [], text: `Failed: ${message}` };
}

/** A turn in which nothing is said. */
export const SILENT: Turn = { working: [], text: "" };

/** What was worked in a turn, as the agent's own. `id` names the turn. */
export function working(id: string, agent: string, { working: list }: Turn): NewChatMessage[] {
  return list.map((message, i) => ({
    name: agent,
    ...message,
    id: message.id ?? `${id}.w${i}`,
    scratch: agent,
  }));
}

/** The messages of a turn: what was worked, then what is said, with its calls and their results. */
export function record(
  id: string,
  agent: string,
  turn: Turn,
  answers: readonly AnsweredCall[] = [],
): NewChatMessage[] {
  const list = working(id, agent, turn);
  const common = { name: agent, id: `${id}.said` };
  const said = { ...common, role: "assistant" as const, text: turn.text };
  if (answers.length === 0) return [...list, said];
  const results = answers.map(({ result }) => result);
  return [
    ...list,
    { ...said, toolCalls: answers.map(({ call }) => call) },
    { ...common, id: `${id}.told`, role: "tool", results },
  ];
}
