import { MeshError } from "@plexus/core";
import type { UpdateOf } from "../channel.ts";
import type { Command } from "../command.ts";
import { CompiledGraph } from "../compiled-graph.ts";
import type { NodeContext } from "../context.ts";
import { newId } from "../id.ts";
import {
  readReply,
  type ConversationChannels,
  type ConversationOutput,
  type Member,
  type PatternGraph,
  type Turn,
} from "./agent.ts";
import type { ChatMessage } from "./conversation.ts";
import { taskFor, type Peer } from "./handoff.ts";

/** What a pattern makes of an agent. `turn` names the execution: the same for whoever executes it again. */
export interface Wiring {
  /** What the agent is shown. */
  shown(state: ConversationOutput): readonly ChatMessage[];
  readonly handoffs?: readonly Peer[];
  /** Updates of the pattern's channels, and where to go. */
  told(turn: Turn, id: string): object | Command<object>;
  /** Throws if it is not to have a turn any more. */
  admit?(state: ConversationOutput, context: NodeContext): void;
  /** What its failure counts as; without it, the run fails. */
  readonly failed?: ((error: MeshError, id: string) => object) | undefined;
  readonly ends?: readonly string[];
}

/** Adds an agent as a node: a function, or a team as a subgraph. */
export function addMember(graph: PatternGraph, { name, spec }: Member, wiring: Wiring): void {
  const { handoffs = [], failed, ends = [] } = wiring;
  const common = {
    ends,
    ...(failed === undefined
      ? {}
      : { failures: { instead: (error: MeshError) => failed(error, newId()) } }),
  };
  const { run, retry, timeout } = spec;
  if (run instanceof CompiledGraph) {
    graph.addSubgraph(name, run, {
      ...common,
      map: (state) => ({ messages: wiring.shown(state) }),
      merge: (output, state) => {
        const turn = turnOf(name, output, wiring.shown(state));
        return wiring.told(turn, turn.id) as UpdateOf<ConversationChannels>; // or a command: a node's return
      },
    });
    return;
  }
  graph.addNode(
    name,
    async (state, context) => {
      wiring.admit?.(state, context);
      const messages = wiring.shown(state);
      const input = { agent: name, messages, task: taskFor(name, state.messages), handoffs };
      const turn = readReply(await run(input, context), messages);
      return wiring.told(turn, context.execution);
    },
    {
      ...common,
      ...(retry === undefined ? {} : { retry }),
      ...(timeout === undefined ? {} : { timeout }),
    },
  );
}

/** What a team has added to what it was shown: its last message is its answer, the rest its working. */
function turnOf(
  name: string,
  { messages }: ConversationOutput,
  shown: readonly ChatMessage[],
): Turn & { readonly id: string } {
  const known = new Set(shown.map(({ id }) => id));
  const added = messages.filter(({ id }) => !known.has(id));
  const last = added.at(-1);
  if (last?.role !== "assistant") {
    throw new MeshError("INVALID_OUTPUT", `team ${name} has ended without an answer`);
  }
  return { working: added.slice(0, -1), text: last.text, id: last.id };
}
