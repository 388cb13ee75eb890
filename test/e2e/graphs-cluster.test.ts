import { connect } from "@plexus/mesh";
import { startCluster } from "@plexus/testing";
import { END, START, StateGraph, append, hostGraph, remoteGraph } from "@plexus/workflow";
import { expect, test } from "vitest";
import { z } from "zod";
import { inTurn, meshName, silent, upTo } from "../support/mesh.ts";

test("runs on a cluster go on when a broker dies, and each of their nodes is recorded once", async () => {
  await using cluster = await startCluster();
  await using stack = new AsyncDisposableStack();
  const mesh = meshName();
  const join = async () =>
    stack.use(await connect({ servers: cluster.urls, mesh, http: false, log: silent }));
  const graph = new StateGraph({ log: append(z.number()) }, { name: "steps" })
    .addNode("step", async (_, { visits, signal }) => {
      await new Promise((resolve) => setTimeout(resolve, 20));
      signal.throwIfAborted();
      return { log: [visits] };
    })
    .addEdge(START, "step")
    .addConditionalEdges("step", (_, { visits }) => (visits < 20 ? "step" : END), ["step", END])
    .compile();
  const [one, two, caller] = [await join(), await join(), await join()];
  await hostGraph(one, graph);
  await hostGraph(two, graph);
  const remote = remoteGraph(caller, graph);
  let ended = 0;
  const lanes = upTo(8).map(() =>
    inTurn(upTo(6), async () => {
      const { output } = await remote.invoke({});
      expect(output.log).toEqual(upTo(20).map((n) => n + 1));
      ended++;
    }),
  );
  await expect.poll(() => ended, { timeout: 60_000 }).toBeGreaterThan(8);
  const leader = await cluster.ready();
  await leader.kill();
  await Promise.all(lanes);
  expect(ended).toBe(48);
}, 180_000);
