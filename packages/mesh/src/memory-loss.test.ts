import { jetstreamManager } from "@nats-io/jetstream";
import { connect as connectNats } from "@nats-io/transport-node";
import { agent, state } from "@plexus/core";
import { startCluster } from "@plexus/testing";
import { expect, test } from "vitest";
import { z } from "zod";
import { meshName, silent } from "../../../test/support/mesh.ts";
import { connect } from "./mesh.ts";

const Echo = agent("echo", {
  capabilities: { echo: { input: z.number(), output: z.number(), idempotent: true } },
});
const Flags = state("flags", { schema: z.number(), storage: "memory" });
const SLOW = { timeout: 60_000, interval: 500 };

test("what is in memory is made anew when two of three brokers were killed, though one of them stays away", async () => {
  await using cluster = await startCluster();
  const [stays, returns, away] = cluster.brokers;
  const mesh = meshName();
  const join = () => connect({ servers: cluster.url, mesh, http: false, log: silent });
  await using host = await join();
  await host.host(Echo, { echo: (n) => n });
  const bucket = host.bucket("cache", { storage: "memory" });
  const flags = host.state(Flags);
  await bucket.put("a", 1);
  await flags.set("a", 1);
  await Promise.all([returns!.kill(), away!.kill()]);
  await returns!.restart();
  const call = async () => {
    await using newcomer = await join();
    return await newcomer.get(Echo).echo(2);
  };
  const put = async () => {
    await bucket.put("a", 2);
    return (await bucket.get("a"))?.value;
  };
  const set = async () => {
    await flags.set("a", 2);
    return (await flags.get("a"))?.value;
  };
  const tried = [call, put, set].map(async (work) => {
    const outcome = () => work().catch((error: unknown) => error);
    await expect.poll(outcome, SLOW).toBe(2);
  });
  await Promise.all(tried);
  await away!.restart();
  await cluster.ready();
  await using _ = await join();
  const nats = await connectNats({ servers: stays!.url });
  const { streams } = await jetstreamManager(nats);
  const replicas = async () => (await streams.info(`KV_${mesh}-registry`)).config.num_replicas;
  await expect.poll(replicas).toBe(3);
  await nats.close();
}, 150_000);
