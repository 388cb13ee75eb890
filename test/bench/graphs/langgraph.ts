import { randomUUID } from "node:crypto";
import { createRequire } from "node:module";
import { join } from "node:path";
import { ITEMS, NAMES, type Graphs, type Store } from "./graph.ts";
import { openSqlite } from "./sqlite.ts";

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
  compile(options?: { checkpointer: object }): {
    invoke(
      input: object,
      config?: object,
    ): Promise<{ log: readonly string[]; seen: readonly number[] }>;
  };
}
interface Saver {
  readonly SqliteSaver: new (db: object) => object;
}

export function open({ folder }: Store): Graphs {
  const require = createRequire(new URL("../peers/package.json", import.meta.url));
  const { Annotation, END, START, Send, StateGraph } = require("@langchain/langgraph") as LangGraph;
  const { SqliteSaver } = require("@langchain/langgraph-checkpoint-sqlite") as Saver;
  const list = Annotation({ reducer: (a, b) => a.concat(b), default: () => [] });

  let linear = new StateGraph(Annotation.Root({ log: list }));
  for (const name of NAMES) linear = linear.addNode(name, async () => ({ log: [name] }));
  for (const [i, name] of NAMES.entries()) {
    linear = linear.addEdge(i === 0 ? START : NAMES[i - 1]!, name);
  }
  const row = linear.addEdge("e", END).compile();
  const checkpointer = new SqliteSaver(openSqlite(join(folder, "runs.db")));
  const kept = linear.compile({ checkpointer });

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
    durable: async () => {
      const config = { configurable: { thread_id: randomUUID() } };
      return (await kept.invoke({ log: [] }, config)).log;
    },
  };
}
