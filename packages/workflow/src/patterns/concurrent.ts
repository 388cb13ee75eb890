import { END, START } from "../command.ts";
import type { NodeContext } from "../context.ts";
import { StateGraph } from "../graph.ts";
import {
  answerOf,
  membersOf,
  readReply,
  SILENT,
  record,
  working,
  type AgentInput,
  type AgentReply,
  type Agents,
  type ConversationChannels,
  type FailureOptions,
  type PatternGraph,
  type PatternOptions,
} from "./agent.ts";
import {
  AgentAnswer,
  asCalls,
  collect,
  collectFailure,
  collected,
  type Collected,
} from "./answers.ts";
import { conversation, type ChatMessage } from "./conversation.ts";
import { addMember } from "./member.ts";
import { demandSharing, shownTo } from "./sharing.ts";

/** What {@link concurrent}'s `aggregate` is given. */
export interface AggregateInput extends AgentInput {
  /** In the order of the agents. */
  readonly answers: readonly AgentAnswer[];
}

/** Options of {@link concurrent}. */
export interface ConcurrentOptions extends PatternOptions, FailureOptions {
  readonly agents: Agents;
  /** Makes one answer of all. `messages` holds them, too, so it may be a model. */
  readonly aggregate: (
    input: AggregateInput,
    context: NodeContext,
  ) => AgentReply | Promise<AgentReply>;
}

/** The channels of {@link concurrent}. */
export type ConcurrentChannels = ConversationChannels & {
  readonly answers: Collected<AgentAnswer>;
};

const ASK = "ask";
const AGGREGATE = "aggregate";

/** Scatter and gather: all agents are asked the same at once, none sees another's answer, and `aggregate` makes one of all. */
export function concurrent(options: ConcurrentOptions): PatternGraph<ConcurrentChannels> {
  const { name = "concurrent", version = "0.0.0", aggregate, onError = "fail" } = options;
  demandSharing(name, options);
  const members = membersOf(name, options.agents, { taken: [ASK, AGGREGATE] });
  const graph: PatternGraph<ConcurrentChannels> = new StateGraph(
    { messages: conversation(), answers: collected(AgentAnswer) },
    { name, version },
  );
  graph.addNode(ASK, () => ({ answers: null })).addEdge(START, ASK);
  for (const member of members) {
    const { name: agent } = member;
    addMember(graph, member, {
      shown: ({ messages }) => shownTo(agent, messages, options),
      told: (turn, id) => ({
        messages: working(id, agent, turn),
        answers: collect(agent, answerOf(name, turn)),
      }),
      failed:
        onError === "report" ? (error) => ({ answers: collectFailure(agent, error) }) : undefined,
    });
    graph.addEdge(ASK, agent);
    graph.addEdge(agent, AGGREGATE);
  }
  graph.addNode(AGGREGATE, async ({ messages, answers }, context) => {
    const id = context.execution;
    const asked = record(`${id}.ask`, AGGREGATE, SILENT, asCalls(id, answers));
    const shown = shownTo(AGGREGATE, [...messages, ...(asked as ChatMessage[])], options);
    const input = { agent: AGGREGATE, messages: shown, task: undefined, handoffs: [], answers };
    const turn = answerOf(name, readReply(await aggregate(input, context), shown));
    return { messages: [...asked, ...record(id, AGGREGATE, turn)] };
  });
  graph.addEdge(AGGREGATE, END);
  return graph;
}
