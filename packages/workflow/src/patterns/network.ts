import { MeshError } from "@plexus/core";
import { z } from "zod";
import { Command, END, START } from "../command.ts";
import { StateGraph } from "../graph.ts";
import {
  membersOf,
  peersOf,
  record,
  type Agents,
  type AgentSpec,
  type ConversationChannels,
  type PatternGraph,
  type PatternOptions,
} from "./agent.ts";
import { conversation } from "./conversation.ts";
import { carryOut, pathOf } from "./handoff.ts";
import { addMember } from "./member.ts";
import { demandCount, demandSharing, shownTo } from "./sharing.ts";

/** An agent of a network. */
export interface NetworkAgentSpec extends AgentSpec {
  /** To whom it may hand off. Default: to all others. */
  readonly handoffs?: readonly string[];
}

/** Options of {@link network}. */
export interface NetworkOptions extends PatternOptions {
  readonly agents: Agents<NetworkAgentSpec>;
  /** Who is spoken to first. Default: the first one. */
  readonly start?: string;
  /** Hand-offs in one run; one more fails with `STEP_LIMIT`. Default 25. */
  readonly maxHandoffs?: number;
}

/** The channels of a network: `active` is who has answered last, and is spoken to next. */
export type NetworkChannels = ConversationChannels & { readonly active: z.ZodType<string, string> };

/**
 * Agents that hand off directly to each other, peer to peer; the one that answers instead ends the run, and is spoken to by the next one
 * on the thread. Teams may be members, but do not hand off.
 */
export function network(options: NetworkOptions): PatternGraph<NetworkChannels> {
  const { name = "network", version = "0.0.0", maxHandoffs = 25 } = options;
  demandSharing(name, options);
  demandCount(name, "maxHandoffs", maxHandoffs);
  const members = membersOf(name, options.agents);
  const names = members.map((member) => member.name);
  const { start = names[0]! } = options;
  for (const known of [start, ...members.flatMap(({ spec }) => spec.handoffs ?? [])]) {
    if (names.includes(known)) continue;
    throw new MeshError("INVALID_CONTRACT", `Graph ${name}: there is no agent ${known}.`);
  }
  const graph: PatternGraph<NetworkChannels> = new StateGraph(
    { messages: conversation(), active: z.string().default(start) as z.ZodType<string, string> },
    { name, version },
  );
  // A thread may have been left with an agent that is no longer there.
  graph.addConditionalEdges(
    START,
    ({ active }) => (names.includes(active) ? active : start),
    names,
  );
  for (const member of members) {
    const { name: agent, spec } = member;
    const allowed = spec.handoffs ?? names.filter((other) => other !== agent);
    addMember(graph, member, {
      shown: ({ messages }) => shownTo(agent, messages, options),
      handoffs: peersOf(members.filter((other) => allowed.includes(other.name))),
      ends: [...allowed, END],
      admit: ({ messages }, { step }) => {
        if (step <= maxHandoffs + 1) return; // each turn is a step
        throw new MeshError(
          "STEP_LIMIT",
          `nobody has answered after ${maxHandoffs} hand-offs (${pathOf(messages)}): raise maxHandoffs, or have somebody answer`,
        );
      },
      told: (turn, id) => {
        if (turn.handoff === undefined) {
          const update = { messages: record(id, agent, turn), active: agent };
          return new Command({ update, goto: END });
        }
        const { to, calls } = carryOut(id, turn.handoff, allowed, false);
        const update = { messages: record(id, agent, turn, calls), active: to[0]! };
        return new Command({ update, goto: to });
      },
    });
  }
  return graph;
}
