import { agent } from "@plexus/core";
import type { Mesh } from "@plexus/mesh";
import { END, START, Send, StateGraph, agentNode, append, sum } from "@plexus/workflow";
import { z } from "zod";
import { now } from "../clock.ts";

/** Does what an item needs; its hosts wait, as for a model's answer. */
export const Worker = agent("worker", {
  capabilities: { work: { input: z.number(), output: z.number(), idempotent: true } },
});

/** Asks a human, and ends with the answer. */
export const asking = () =>
  new StateGraph({ order: z.string(), verdict: z.string() }, { name: "asking" })
    .addNode("prepare", ({ order }) => ({ order: `${order}, prepared` }))
    .addNode("ask", ({ order }, context) => ({
      verdict: context.interrupt(`Release ${order}?`, z.string()),
    }))
    .addEdge(START, "prepare")
    .addEdge("prepare", "ask")
    .addEdge("ask", END)
    .compile();

/** Sends so many items to as many executions of one node, each of which has a worker work on its own; adds up what they say. */
export const mapping = (mesh: Mesh, atOnce: number) =>
  new StateGraph(
    { items: z.number(), done: sum(), seen: append(z.number()) },
    { name: `mapping-${atOnce}`, output: z.object({ done: z.number() }) },
  )
    .addNode("plan", () => ({}))
    .addNode(
      "work",
      agentNode(mesh, Worker, "work", {
        input: (item: number) => item,
        output: (item) => ({ done: 1, seen: [item] }),
      }),
      { input: z.number(), concurrency: atOnce },
    )
    .addEdge(START, "plan")
    .addConditionalEdges(
      "plan",
      ({ items }) => Array.from({ length: items }, (_, item) => new Send("work", item)),
      ["work"],
    )
    .addEdge("work", END)
    .compile();

/** What a step of {@link growing} adds. */
export const ADDED_BYTES = 10_000;
const ENTRY_BYTES = 1_000;

/**
 * Fills its state with so many MB, or takes so many steps, each of which adds {@link ADDED_BYTES} to it. `stepped` is told how many ms
 * all of them took.
 */
export const growing = (stepped: (ms: number) => void) => {
  let from = 0;
  return new StateGraph(
    {
      megabytes: z.number(),
      steps: z.number(),
      entries: append(z.object({ id: z.number(), text: z.string() })),
    },
    { name: "growing", output: z.object({ steps: z.number() }), maxSteps: 10_000 },
  )
    .addNode("fill", ({ megabytes }) => ({
      entries: Array.from({ length: (megabytes * 1e6) / ENTRY_BYTES }, (_, id) => ({
        id,
        text: "x".repeat(ENTRY_BYTES),
      })),
    }))
    .addNode("step", (_, { visits }) => {
      if (visits === 1) from = now();
      return { entries: [{ id: -visits, text: "y".repeat(ADDED_BYTES) }] };
    })
    .addNode("end", () => stepped(now() - from))
    .addConditionalEdges(START, ({ megabytes }) => (megabytes > 0 ? "fill" : "step"), [
      "fill",
      "step",
    ])
    .addEdge("fill", END)
    .addConditionalEdges("step", ({ steps }, { visits }) => (visits < steps ? "step" : "end"), [
      "step",
      "end",
    ])
    .addEdge("end", END)
    .compile();
};
