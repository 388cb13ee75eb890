import { z } from "zod";
import { reduced, type Channel } from "../channel.ts";
import type { MeshError } from "@plexus/core";
import { failure, type Turn } from "./agent.ts";
import { answered, callId, type AnsweredCall } from "./handoff.ts";

/** What an agent has answered when several were asked at once. */
export interface AgentAnswer {
  readonly agent: string;
  readonly text: string;
  /** It has failed, and `text` says why. */
  readonly failed?: boolean;
}

export const AgentAnswer = z.object({
  agent: z.string(),
  text: z.string(),
  failed: z.boolean().optional(),
}) as z.ZodType<AgentAnswer, AgentAnswer>;

/** A list that updates are appended to, and that `null` empties: what was collected since somebody has asked. */
export type Collected<Item> = Channel<readonly Item[], readonly Item[] | null>;

export function collected<Item>(item: z.ZodType<Item, Item>): Collected<Item> {
  return reduced(z.array(item).nullable(), {
    initial: (): readonly Item[] => [],
    reducer: (list, items) => (items === null ? [] : [...list, ...items]),
  });
}

/** An agent's answer as an update of what is collected. */
export function collect(agent: string, { text }: Turn): readonly AgentAnswer[] {
  return [{ agent, text }];
}

export function collectFailure(agent: string, error: MeshError): readonly AgentAnswer[] {
  return [{ agent, text: failure(error).text, failed: true }];
}

/** Answers as results of tool calls: how they stand in the history. */
export function asCalls(turn: string, answers: readonly AgentAnswer[]): AnsweredCall[] {
  return answers.map(({ agent, text, failed }, i) =>
    answered({ id: callId(turn, i), name: `ask_${agent}`, input: {} }, text, failed),
  );
}
