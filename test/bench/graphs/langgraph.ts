import { createRequire } from "node:module";
import { ITEMS, NAMES, type Graphs } from "./graph.ts";

type List = readonly unknown[];

/** The little of LangGraph.js that is used here; the package is installed apart (`peers/`) and may be missing. */
interface LangGraph {
  readonly START: string;
  readonly END: string;
  readonly Annotation: {
    (options?: { reducer: (a: List, b: List) => List; default: () => List }): object;
    readonly Root: (channels: object) => object;
  };
  readonly Send: new (node: string, input: object) => object;
  readonly StateGraph: new (state: object) => Builder;
}
interface Builder {
  addNode(name: string, run: (input: { item: number }) => Promise<object>): Builder;
  addEdge(from: string, to: string): Builder;
  addConditionalEdges(
    from: string,
    decide: (state: { items: readonly number[] }) => object[],
    targets: string[],
  ): Builder;
  compile(): {
    invoke(input: object): Promise<{ log: readonly string[]; seen: readonly number[] }>;
  };
}

export function open(): Graphs {
  const require = createRequire(new URL("../peers/package.json", import.meta.url));
  const { Annotation, END, START, Send, StateGraph } = require("@langchain/langgraph") as LangGraph;
  const list = Annotation({ reducer: (a, b) => a.concat(b), default: () => [] });

  let linear = new StateGraph(Annotation.Root({ log: list }));
  for (const name of NAMES) linear = linear.addNode(name, async () => ({ log: [name] }));
  for (const [i, name] of NAMES.entries()) {
    linear = linear.addEdge(i === 0 ? START : NAMES[i - 1]!, name);
  }
  const row = linear.addEdge("e", END).compile();

  const fan = new StateGraph(Annotation.Root({ items: Annotation(), seen: list }))
    .addNode("plan", async () => ({}))
    .addNode("work", async ({ item }) => ({ seen: [item] }))
    .addEdge(START, "plan")
    .addConditionalEdges("plan", ({ items }) => items.map((item) => new Send("work", { item })), [
      "work",
    ])
    .addEdge("work", END)
    .compile();

  return {
    linear: async () => (await row.invoke({ log: [] })).log,
    send: async () => (await fan.invoke({ items: ITEMS })).seen,
  };
}
