import { MeshError } from "@plexus/core";
import { Command, END, START } from "../command.ts";
import { StateGraph } from "../graph.ts";
import {
  answerOf,
  failure,
  membersOf,
  peersOf,
  readReply,
  record,
  type AgentFunction,
  type Agents,
  type FailureOptions,
  type PatternGraph,
  type PatternOptions,
} from "./agent.ts";
import { conversation } from "./conversation.ts";
import { carryOut, pathOf, transferBack } from "./handoff.ts";
import { addMember } from "./member.ts";
import { demandCount, demandSharing, shownTo } from "./sharing.ts";

/** Options of {@link supervisor}. */
export interface SupervisorOptions extends PatternOptions, FailureOptions {
  readonly agents: Agents;
  /** Hands off to an agent, or to several at once, or answers: then the run ends. A function, or a model by {@link modelAgent}. */
  readonly decide: AgentFunction;
  /** How often it decides in one run; once more fails with `STEP_LIMIT`. Default 25. */
  readonly maxTurns?: number;
}

const SELF = "supervisor";

/**
 * A mediator: agents are its tools. It decides who works next, each agent hands back to it, and its answer is the run's. Agents that are
 * compiled supervisors make a hierarchy.
 *
 * @example
 * const desk = supervisor({
 *   agents: { math: ({ task }) => solve(task!), poet },
 *   decide: modelAgent(models, "desk", { system: "Let your experts work." }),
 * }).compile({ checkpointer });
 * const { output } = await desk.invoke({ messages: [{ role: "user", text: "What is 6 * 7?" }] }, { thread });
 * console.log(lastText(output.messages));
 */
export function supervisor(options: SupervisorOptions): PatternGraph {
  const { name = SELF, version = "0.0.0", decide, maxTurns = 25, onError = "fail" } = options;
  demandSharing(name, options);
  demandCount(name, "maxTurns", maxTurns);
  const members = membersOf(name, options.agents, { taken: [SELF] });
  const peers = peersOf(members);
  const names = peers.map((peer) => peer.name);
  const graph: PatternGraph = new StateGraph({ messages: conversation() }, { name, version });

  graph.addNode(
    SELF,
    async ({ messages }, context) => {
      if (context.visits > maxTurns) {
        throw new MeshError(
          "STEP_LIMIT",
          `it has decided ${maxTurns} times without an answer (${pathOf(messages)}): raise maxTurns, or have it end`,
        );
      }
      const shown = shownTo(SELF, messages, options);
      const input = { agent: SELF, messages: shown, task: undefined, handoffs: peers };
      const turn = readReply(await decide(input, context), shown);
      const id = context.execution;
      if (turn.handoff === undefined) {
        return new Command({ update: { messages: record(id, SELF, turn) }, goto: END });
      }
      const { to, calls } = carryOut(id, turn.handoff, names, true);
      return new Command({ update: { messages: record(id, SELF, turn, calls) }, goto: to });
    },
    { ends: [...names, END] },
  );
  graph.addEdge(START, SELF);

  for (const member of members) {
    const { name: agent } = member;
    addMember(graph, member, {
      shown: ({ messages }) => shownTo(agent, messages, options),
      told: (turn, id) => ({
        messages: record(id, agent, answerOf(name, turn), [transferBack(id, SELF)]),
      }),
      failed:
        onError === "report"
          ? (error, id) => ({
              messages: record(id, agent, failure(error), [transferBack(id, SELF, true)]),
            })
          : undefined,
    });
    graph.addEdge(agent, SELF);
  }
  return graph;
}
