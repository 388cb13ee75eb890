import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "@plexus/mesh";
import { describe, inject, test } from "vitest";
import { silent, upTo, inTurn } from "../support/mesh.ts";
import { Clerk } from "./agents/contract.ts";
import { useCluster } from "./use-cluster.ts";
import { startWork } from "./work.ts";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect as connectNats } from "@nats-io/transport-node";

const images = inject("images");
describe.skipIf(!images)("scratch", () => {
  const fixture = useCluster(images, 3);
  test.each(upTo(12))("hang %d", async (n) => {
    const nc = await connectNats({ servers: [...fixture.cluster.urls] });
    const jsm = await jetstreamManager(nc, { timeout: 10_000 });
    const before = await jsm.streams.info("plexus-results").catch(() => undefined);
    const leaders = { results: before?.cluster?.leader };
    await using reader = await connect({ servers: fixture.cluster.urls, http: false, log: silent });
    await using work = startWork(fixture.mesh, (m) => m.get(Clerk).add({ a: 1, b: 2, ms: 5 }, { timeout: "30s" }));
    await work.progress(50);
    const victim = fixture.cluster.brokers.find(({ container }) => container.name === (leaders.results ?? "nats-1"))!.container;
    await victim.pause();
    await sleep(4_000 + 300 * n);
    await victim.resume();
    await work.progress(100);
    const since = performance.now();
    try {
      const o = await work.finish(reader);
      console.log(n, victim.name, JSON.stringify({ ...o, failedCalls: o.failedCalls.slice(0, 3) }));
    } catch (error) {
      console.log(n, victim.name, "after", performance.now() - since, String(error), (error as { details?: unknown }).details);
      const id = /task (\w+):/.exec(String(error))?.[1];
      for (const wait of [0, 500, 1000, 3000, 10000]) {
        await sleep(wait);
        const m = await jsm.streams.getMessage("plexus-results", { last_by_subj: `plexus.done.${id}` }).catch((e) => String(e));
        console.log("  found after", performance.now() - since, typeof m === "string" ? m : m?.seq);
      }
    }
    const after = await jsm.streams.info("plexus-results");
    console.log("  results", before?.state.messages, "->", after.state.messages, after.cluster?.leader, JSON.stringify(after.cluster?.replicas));
    await fixture.cluster.ready();
    await nc.close();
  }, 120_000);
});
