import type { Agent, Duration } from "@plexus/core";
import type { z } from "zod";
import { agentNode, taskNode, type Caller, type Submitter } from "../remote-nodes.ts";
import type { AgentFunction, AgentInput, AgentReply } from "./agent.ts";

/** How a turn becomes the input of a capability, and its answer a reply. */
interface TurnMapping<In extends z.ZodType, Out extends z.ZodType> {
  readonly input: (turn: AgentInput) => z.input<In>;
  readonly reply: (answer: z.output<Out>, turn: AgentInput) => AgentReply;
}

type Capability<A extends Agent, K extends keyof A["capabilities"]> = TurnMapping<
  A["capabilities"][K]["input"],
  A["capabilities"][K]["output"]
>;

/**
 * An agent that is a capability of an agent on a mesh. Whoever resumes the run calls it again if no answer was recorded.
 *
 * @example
 * const desk = sequential({
 *   agents: {
 *     writer: capabilityAgent(mesh, Writer, "write", {
 *       input: ({ messages }) => ({ brief: lastText(messages, "user") }),
 *       reply: ({ text }) => text,
 *     }),
 *   },
 * });
 */
export function capabilityAgent<A extends Agent, K extends keyof A["capabilities"] & string>(
  caller: Caller,
  contract: A,
  capability: K,
  options: Capability<A, K> & { readonly timeout?: Duration },
): AgentFunction {
  const { reply, ...rest } = options;
  // What `reply` makes is all that the node returns.
  return agentNode(caller, contract, capability, { ...rest, output: reply }) as AgentFunction;
}

/** The same as a durable task: whoever resumes the run waits for the one that was submitted. */
export function taskAgent<A extends Agent, K extends keyof A["capabilities"] & string>(
  submitter: Submitter,
  contract: A,
  capability: K,
  options: Capability<A, K> & { readonly deadline?: Duration },
): AgentFunction {
  const { reply, ...rest } = options;
  return taskNode(submitter, contract, capability, { ...rest, output: reply }) as AgentFunction;
}
