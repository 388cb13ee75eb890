import { connect } from "@plexus/mesh";
import { expect, inject, test } from "vitest";
import { silent } from "../support/mesh.ts";
import { Clerk } from "./agents/contract.ts";
import { startCluster } from "./cluster.ts";

const images = inject("images");

test.skipIf(!images)("an agent in a container answers a call over brokers in containers", async () => {
  const t0 = performance.now();
  await using cluster = await startCluster(images!);
  console.log("cluster", performance.now() - t0);
  const { instance } = await cluster.startAgent("clerk-1", "clerk");
  console.log("agent", performance.now() - t0);
  await using mesh = await connect({ servers: cluster.urls, http: false, log: silent });
  await mesh.waitFor(Clerk);
  expect(await mesh.get(Clerk).serve({ ms: 0 })).toEqual({ instance, uid: 1000, pid: 1 });
  console.log("done", performance.now() - t0);
}, 60_000);
