import { Command, END, START, StateGraph, append, hostGraph, remoteGraph } from "@plexus/workflow";
import { expect, test } from "vitest";
import { z } from "zod";
import { useMeshes } from "../support/mesh.ts";

const meshes = useMeshes();

/** A draft that its author hands to an editor of the graph around, who may change it. */
const desk = () => {
  const author = new StateGraph({ draft: z.string() }, { name: "author" })
    .addNode("write", () => ({ draft: "rough" }))
    .addNode(
      "hand-over",
      ({ draft }) => new Command({ graph: Command.PARENT, goto: "edit", update: { text: draft } }),
      { ends: [Command.PARENT] },
    )
    .addEdge(START, "write")
    .addEdge("write", "hand-over")
    .compile();
  return new StateGraph({ text: z.string(), log: append(z.string()) }, { name: "desk" })
    .addSubgraph("author", author, { map: () => ({}), merge: () => ({}), ends: ["edit"] })
    .addNode("edit", ({ text }) => ({ log: [`edited ${text}`] }))
    .addNode("print", ({ text }) => ({ log: [`printed ${text}`] }))
    .addEdge(START, "author")
    .addEdge("edit", "print")
    .addEdge("print", END)
    .compile();
};

test("a run at a breakpoint outlives its owner, is changed from elsewhere, and goes on at the next one", async () => {
  const caller = await meshes.join();
  const graph = remoteGraph(caller, desk());
  const first = await meshes.join();
  const owner = await hostGraph(first, desk(), { lease: "1s" });
  const thread = "t";
  const paused = await graph.invoke({}, { thread, interruptBefore: ["author/hand-over", "edit"] });
  expect(paused).toMatchObject({ status: "waiting", paused: ["author/hand-over"] });
  expect(await graph.invoke(null, { thread })).toMatchObject({
    paused: ["edit"],
    output: { text: "rough" },
  });
  await owner.drain();
  await first.close();
  await using next = await hostGraph(await meshes.join(), desk(), { lease: "1s" });
  expect(next).toBeDefined();
  expect(await graph.getState(thread)).toMatchObject({ status: "waiting", next: ["edit"] });
  await graph.updateState(thread, { text: "polished" });
  const later = await graph.invoke(null, { thread, interruptAfter: ["edit"] });
  expect(later).toMatchObject({ paused: ["print"], output: { log: ["edited polished"] } });
  expect(await graph.invoke(null, { thread })).toMatchObject({
    status: "completed",
    output: { log: ["edited polished", "printed polished"] },
  });
});
