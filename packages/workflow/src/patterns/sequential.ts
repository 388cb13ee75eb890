import { END, START } from "../command.ts";
import { StateGraph } from "../graph.ts";
import {
  answerOf,
  membersOf,
  record,
  type Agents,
  type PatternGraph,
  type PatternOptions,
} from "./agent.ts";
import { conversation } from "./conversation.ts";
import { transfer } from "./handoff.ts";
import { addMember } from "./member.ts";
import { demandSharing, shownTo } from "./sharing.ts";

/** Options of {@link sequential}. */
export interface SequentialOptions extends PatternOptions {
  /** In the order of their turns. */
  readonly agents: Agents;
}

/** A pipeline: each agent goes on with what the one before it has answered, and the last one's answer is the run's. */
export function sequential(options: SequentialOptions): PatternGraph {
  const { name = "sequential", version = "0.0.0" } = options;
  demandSharing(name, options);
  const members = membersOf(name, options.agents);
  const graph: PatternGraph = new StateGraph({ messages: conversation() }, { name, version });
  for (const [i, member] of members.entries()) {
    const { name: agent } = member;
    const next = members[i + 1]?.name;
    addMember(graph, member, {
      shown: ({ messages }) => shownTo(agent, messages, options),
      told: (turn, id) => {
        const calls = next === undefined ? [] : [transfer(id, 0, { to: next })];
        return { messages: record(id, agent, answerOf(name, turn), calls) };
      },
    });
    graph.addEdge(i === 0 ? START : members[i - 1]!.name, agent);
  }
  graph.addEdge(members.at(-1)!.name, END);
  return graph;
}
