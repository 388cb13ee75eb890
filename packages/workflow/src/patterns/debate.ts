import { MeshError } from "@plexus/core";
import { Command, END, START } from "../command.ts";
import type { NodeContext } from "../context.ts";
import { StateGraph } from "../graph.ts";
import {
  answerOf,
  membersOf,
  readReply,
  record,
  SILENT,
  working,
  type AgentInput,
  type AgentReply,
  type Agents,
  type ConversationChannels,
  type FailureOptions,
  type PatternGraph,
  type PatternOptions,
  type Turn,
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
import { demandCount, demandSharing, shownTo } from "./sharing.ts";

/** What a debate's judge is given after each round. */
export interface JudgeInput extends AgentInput {
  /** From 1. */
  readonly round: number;
  /** No round is left: it has to decide. */
  readonly last: boolean;
  /** Of this round, in the order of the agents. */
  readonly statements: readonly AgentAnswer[];
}

/** Options of {@link debate}. */
export interface DebateOptions extends PatternOptions, FailureOptions {
  /** Two or more. */
  readonly agents: Agents;
  /** Its answer is the run's, and ends the debate; undefined asks for another round. A function; a {@link modelAgent} always answers, so ask it when `last`. */
  readonly judge: (
    input: JudgeInput,
    context: NodeContext,
  ) => AgentReply | undefined | Promise<AgentReply | undefined>;
  /** A judge that has not decided after the last one fails with `STEP_LIMIT`. Default 3. */
  readonly rounds?: number;
  /**
   * What the debaters have agreed on, if they have: it ends the debate, and the judge is not asked. Default: the text that all of them
   * have said, white space and case aside.
   */
  readonly agreement?: (statements: readonly AgentAnswer[]) => string | undefined;
}

/** The channels of {@link debate}. */
export type DebateChannels = ConversationChannels & {
  readonly statements: Collected<AgentAnswer>;
};

const OPEN = "open";
const JUDGE = "judge";

/**
 * Agents argue in rounds: in each, all speak at once, knowing what was said in those before. It ends when they agree, when the judge
 * decides, or when no round is left.
 */
export function debate(options: DebateOptions): PatternGraph<DebateChannels> {
  const { name = "debate", version = "0.0.0", judge, rounds = 3, onError = "fail" } = options;
  const { agreement = unanimous } = options;
  demandSharing(name, options);
  demandCount(name, "rounds", rounds);
  const members = membersOf(name, options.agents, { taken: [OPEN, JUDGE], atLeast: 2 });
  const names = members.map((member) => member.name);
  const graph: PatternGraph<DebateChannels> = new StateGraph(
    { messages: conversation(), statements: collected(AgentAnswer) },
    { name, version },
  );
  graph.addNode(OPEN, () => ({ statements: null })).addEdge(START, OPEN);
  for (const member of members) {
    const { name: agent } = member;
    addMember(graph, member, {
      shown: ({ messages }) => shownTo(agent, fromInside(agent, messages), options),
      told: (turn, id) => ({
        messages: working(id, agent, turn),
        statements: collect(agent, answerOf(name, turn)),
      }),
      failed:
        onError === "report"
          ? (error) => ({ statements: collectFailure(agent, error) })
          : undefined,
    });
    graph.addEdge(OPEN, agent);
    graph.addEdge(agent, JUDGE);
  }
  graph.addNode(
    JUDGE,
    async ({ messages, statements }, context) => {
      const { execution: id, visits: round } = context;
      const heard = record(`${id}.round`, JUDGE, SILENT, asCalls(id, statements));
      const decided = (turn: Turn) =>
        new Command({ update: { messages: [...heard, ...record(id, JUDGE, turn)] }, goto: END });
      const agreed = agreement(statements);
      if (agreed !== undefined) return decided({ working: [], text: agreed });
      const last = round >= rounds;
      const shown = shownTo(JUDGE, [...messages, ...(heard as ChatMessage[])], options);
      const verdict = await judge(
        { agent: JUDGE, messages: shown, task: undefined, handoffs: [], round, last, statements },
        context,
      );
      if (verdict !== undefined) return decided(answerOf(name, readReply(verdict, shown)));
      if (last) {
        throw new MeshError("STEP_LIMIT", `it has not decided, and was to after ${rounds} rounds`);
      }
      return new Command({ update: { messages: heard, statements: null }, goto: names });
    },
    { ends: [...names, END] },
  );
  return graph;
}

/** The text that everybody has said. */
function unanimous(statements: readonly AgentAnswer[]): string | undefined {
  const said = statements.filter(({ failed }) => failed !== true).map(({ text }) => text);
  const positions = new Set(said.map((text) => text.trim().replaceAll(/\s+/g, " ").toLowerCase()));
  return said.length > 1 && positions.size === 1 ? said[0] : undefined;
}

/**
 * The debate as one who argues in it knows it: what it has said itself, and what the others have answered. In the history, a round is
 * the judge's calls of all debaters and their results.
 */
function fromInside(agent: string, messages: readonly ChatMessage[]): readonly ChatMessage[] {
  return messages.flatMap((message, i): readonly ChatMessage[] => {
    if (message.role === "assistant" && isRound(message)) return [];
    const before = messages[i - 1];
    if (message.role !== "tool" || before === undefined || !isRound(before)) return [message];
    const said = (own: boolean) =>
      message.results.filter(({ name }) => (name === `ask_${agent}`) === own);
    const others = said(false).map(
      ({ name, output }) => `${name.slice("ask_".length)}: ${String(output)}`,
    );
    const { id } = message;
    return [
      ...said(true).map(({ output }) => ({
        id: `${id}.own`,
        role: "assistant" as const,
        name: agent,
        text: String(output),
      })),
      { id, role: "user", text: others.join("\n\n") },
    ];
  });
}

/** Of this debate, and not of one that a team has had within it. */
function isRound({ name, id, scratch }: ChatMessage): boolean {
  return name === JUDGE && scratch === undefined && id.endsWith(".round.said");
}
