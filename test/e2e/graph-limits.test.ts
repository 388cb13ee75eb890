import { END, START, StateGraph, append, hostGraph, reduced, remoteGraph } from "@plexus/workflow";
import { expect, test } from "vitest";
import { z } from "zod";
import { useMeshes } from "../support/mesh.ts";

const meshes = useMeshes({ maxPayload: 64 * 1024 });

test("what a node returns may be larger than what the broker takes in one message", async () => {
  const [host, other, caller] = [await meshes.join(), await meshes.join(), await meshes.join()];
  let executed = 0;
  const graph = new StateGraph({ log: append(z.string()) }, { name: "large" })
    .addNode("large", () => {
      executed++;
      return { log: ["x".repeat(200_000)] };
    })
    .addEdge(START, "large")
    .addEdge("large", END)
    .compile();
  const hosted = await hostGraph(host, graph, { lease: "1s" });
  const remote = remoteGraph(caller, graph);
  const { output } = await remote.invoke({}, { thread: "t", durability: "sync" });
  expect(output.log[0]).toHaveLength(200_000);
  await hosted.drain();
  await hostGraph(other, graph, { lease: "1s" });
  const again = await remote.invoke({}, { thread: "t" });
  expect(again.output.log).toHaveLength(2);
  expect(executed).toBe(2);
});

test("a state may be, though every record is small", async () => {
  const [host, caller] = [await meshes.join(), await meshes.join()];
  const graph = new StateGraph({ log: append(z.string()) }, { name: "growing" })
    .addNode("step", () => ({ log: ["x".repeat(10_000)] }))
    .addEdge(START, "step")
    .addConditionalEdges("step", ({ log }) => (log.length < 30 ? "step" : END), ["step", END])
    .compile();
  await hostGraph(host, graph);
  const remote = remoteGraph(caller, graph);
  const { status, output } = await remote.invoke({}, { thread: "t", durability: "sync" });
  expect([status, output.log.length]).toEqual(["completed", 30]);
});

test("a state of which no snapshot can be made does not keep a run from its end", async () => {
  const [host, caller] = [await meshes.join(), await meshes.join()];
  let executed = 0;
  const graph = new StateGraph(
    {
      made: reduced(z.number(), { initial: (): unknown => 0, reducer: () => () => 0 }),
      log: append(z.string()),
    },
    { name: "unencodable" },
  )
    .addNode("one", () => {
      executed++;
      return { made: 1, log: ["x".repeat(20_000)] };
    })
    .addNode("two", () => ({ log: ["y".repeat(150_000)] }))
    .addEdge(START, "one")
    .addEdge("one", "two")
    .addEdge("two", END)
    .compile();
  await hostGraph(host, graph);
  const remote = remoteGraph(caller, graph);
  await remote.invoke({}, { thread: "t" }).catch(() => undefined); // its output cannot be sent
  await expect
    .poll(async () => (await remote.getState("t").catch(() => undefined))?.status)
    .toBe("completed");
  expect(executed).toBe(1);
});
