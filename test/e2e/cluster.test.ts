import { connect } from "@plexus/mesh";
import { startCluster } from "@plexus/testing";
import { expect, test } from "vitest";
import { meshName, silent } from "../support/mesh.ts";
import { Worker } from "./agents/contracts.ts";

test("a mesh on a cluster outlives each of its brokers", async () => {
  await using cluster = await startCluster();
  await using stack = new AsyncDisposableStack();
  const mesh = meshName();
  const join = async (servers: readonly string[]) =>
    stack.use(await connect({ servers, mesh, http: false, log: silent }));
  // Each begins at another broker, and knows the others.
  const [one, two, three] = cluster.urls as [string, string, string];
  const host = await join([one, two, three]);
  const caller = await join([two, three, one]);
  const served = { pid: process.pid, instance: "here" };
  await host.host(Worker, {
    work: () => served,
    hold: () => served,
    holdSafely: () => served,
    count: async function* () {
      yield 1;
    },
  });
  await caller.waitFor(Worker);
  expect(await caller.get(Worker).work(0)).toEqual(served);
  await cluster.brokers[0]!.kill();
  expect(await caller.get(Worker).holdSafely(0, { timeout: "15s" })).toEqual(served);
  await expect
    .poll(
      () =>
        caller
          .get(Worker)
          .work(0)
          .catch((error: unknown) => error),
      { timeout: 10_000 },
    )
    .toEqual(served);
  await cluster.ready();
  const newcomer = await join([three, two]);
  await newcomer.waitFor(Worker, { timeout: "15s" });
  expect(await newcomer.get(Worker).work(0)).toEqual(served);
}, 60_000);
