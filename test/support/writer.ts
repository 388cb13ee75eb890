import {
  Annotation,
  END,
  type MemorySaver,
  START,
  StateGraph,
  interrupt,
  type LangGraphRunnableConfig,
} from "@langchain/langgraph";
import {
  langGraphContract,
  langGraphHandlers,
  type LangGraph,
  type LangGraphOptions,
} from "@plexus/workflow/langgraph";
import { z } from "zod";
import type { TestMeshes } from "./mesh.ts";

/** The contract of the graphs below. */
export const Writer = langGraphContract("writer", {
  input: z.object({ topic: z.string(), drafts: z.array(z.string()).optional() }),
  output: z.object({ drafts: z.array(z.string()), verdict: z.string().optional() }),
});

export const State = Annotation.Root({
  topic: Annotation<string>,
  drafts: Annotation<string[]>({ reducer: (a, b) => [...a, ...b], default: () => [] }),
  verdict: Annotation<string>,
});
export type Node = (
  state: typeof State.State,
  config: LangGraphRunnableConfig,
) => Partial<typeof State.State> | Promise<Partial<typeof State.State>>;

export const draft: Node = ({ topic }) => ({ drafts: [`about ${topic}`] });

/** A graph that drafts, and then does what the test says. */
export function drafting(then: Node, checkpointer?: MemorySaver) {
  return new StateGraph(State)
    .addNode("draft", draft)
    .addNode("review", then)
    .addEdge(START, "draft")
    .addEdge("draft", "review")
    .addEdge("review", END)
    .compile(checkpointer ? { checkpointer } : {});
}

export const asking: Node = ({ drafts }) => ({
  verdict: `said ${JSON.stringify(interrupt(`Publish ${drafts.join()}?`))}`,
});

/** The graph hosted by one mesh, and its client from another one. */
export async function hosted(
  meshes: Pick<TestMeshes, "join">,
  graph: LangGraph,
  options: LangGraphOptions = {},
) {
  const host = await meshes.join({ name: "host" });
  await host.host(Writer, langGraphHandlers(Writer, graph, options));
  const caller = await meshes.join({ name: "caller" });
  await caller.waitFor(Writer);
  return { host, writer: caller.get(Writer) };
}
