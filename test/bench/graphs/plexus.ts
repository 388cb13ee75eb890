import { connect } from "@plexus/mesh";
import { END, START, Send, StateGraph, append, hostGraph, remoteGraph } from "@plexus/workflow";
import { z } from "zod";
import { ITEMS, NAMES, type Graphs, type Store } from "./graph.ts";

export async function open({ servers, namespace }: Store): Promise<Graphs> {
  const linear = new StateGraph({ log: append(z.string()) }, { name: "linear" })
    .addNode("a", async () => ({ log: ["a"] }))
    .addNode("b", async () => ({ log: ["b"] }))
    .addNode("c", async () => ({ log: ["c"] }))
    .addNode("d", async () => ({ log: ["d"] }))
    .addNode("e", async () => ({ log: ["e"] }))
    .addEdge(START, NAMES[0])
    .addEdge("a", "b")
    .addEdge("b", "c")
    .addEdge("c", "d")
    .addEdge("d", "e")
    .addEdge("e", END)
    .compile();

  const send = new StateGraph({ items: z.array(z.number()), seen: append(z.number()) })
    .addNode("plan", async () => ({}))
    .addNode("work", async ({ item }) => ({ seen: [item] }), {
      input: z.object({ item: z.number() }),
    })
    .addEdge(START, "plan")
    .addConditionalEdges("plan", ({ items }) => items.map((item) => new Send("work", { item })), [
      "work",
    ])
    .addEdge("work", END)
    .compile();

  const mesh = await connect({ servers, mesh: namespace, http: false });
  await hostGraph(mesh, linear);
  const kept = remoteGraph(mesh, linear);
  await Promise.all(Array.from({ length: 512 }, () => kept.invoke({ log: [] }))); // every partition has an owner

  return {
    linear: async () => (await linear.invoke({ log: [] })).output.log,
    send: async () => (await send.invoke({ items: [...ITEMS] })).output.seen,
    durable: async () => (await kept.invoke({ log: [] })).output.log,
  };
}
