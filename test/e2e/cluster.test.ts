import { jetstreamManager } from "@nats-io/jetstream";
import { connect as connectNats } from "@nats-io/transport-node";
import { agent } from "@plexus/core";
import { connect } from "@plexus/mesh";
import { startCluster, type Cluster } from "@plexus/testing";
import { expect, test } from "vitest";
import { z } from "zod";
import { startLoad } from "../support/load.ts";
import { inTurn, meshName, silent, upTo } from "../support/mesh.ts";
import { Worker } from "./agents/contracts.ts";

test("a mesh on a cluster outlives the broker of its host that leads the registry, too: idempotent calls do not notice", async () => {
  await using cluster = await startCluster();
  await using stack = new AsyncDisposableStack();
  const mesh = meshName();
  const join = async (broker: number) =>
    stack.use(await connect({ servers: cluster.urls[broker]!, mesh, http: false, log: silent }));
  await join(0); // makes the registry
  const victim = await leaderOf(cluster, `KV_${mesh}-registry`);
  const host = await join(victim);
  const caller = await join((victim + 1) % 3);
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
  const options = { timeout: "50s" } as const;
  await using safe = startLoad(upTo(16).map(() => () => caller.get(Worker).holdSafely(0, options)));
  await using firm = startLoad(upTo(16).map(() => () => caller.get(Worker).work(0, options)));
  const more = async () => {
    const before = { safe: safe.answered, firm: firm.answered };
    const timeout = 40_000;
    await expect.poll(() => safe.answered, { timeout }).toBeGreaterThan(before.safe + 100);
    await expect.poll(() => firm.answered, { timeout }).toBeGreaterThan(before.firm + 100);
  };
  await more();
  await cluster.brokers[victim]!.kill();
  await more();
  await cluster.ready(60_000);
  const newcomer = await join((victim + 2) % 3);
  await newcomer.waitFor(Worker);
  expect(await newcomer.get(Worker).work(0)).toEqual(served);
  await more();
  await Promise.all([safe.stop(), firm.stop()]);
  expect(safe.failures).toEqual([]);
  // What must not run twice is given up if its request, or its answer, was lost with the broker.
  expect(firm.failures).toEqual(
    firm.failures.map(() => expect.objectContaining({ code: "AGENT_LOST" })),
  );
  expect(firm.failures.length).toBeLessThanOrEqual(16);
}, 180_000);

test("instances at one broker are replaced under the load of callers at others, and no call fails", async () => {
  await using cluster = await startCluster();
  await using stack = new AsyncDisposableStack();
  const mesh = meshName();
  const join = async (broker: number) =>
    stack.use(await connect({ servers: cluster.urls[broker]!, mesh, http: false, log: silent }));
  const hosts = [await join(0), await join(0), await join(2)];
  const callers = [await join(1), await join(1), await join(2)];
  const Echo = agent("echo", { capabilities: { echo: { input: z.number(), output: z.number() } } });
  const host = (n: number) => hosts[n]!.host(Echo, { echo: (input) => input });
  const hosted = [await host(0), await host(1), await host(2)];
  await Promise.all(callers.map((caller) => caller.waitFor(Echo, { instances: 3 })));
  const lanes = callers.map((caller) => () => caller.get(Echo).echo(1, { timeout: "5s" }));
  await using load = startLoad(upTo(16).flatMap(() => lanes));
  await inTurn(upTo(12), async (n) => {
    const leaving = hosted[n % 3]!;
    hosted[n % 3] = await host(n % 3);
    const before = load.answered;
    await expect.poll(() => load.answered).toBeGreaterThan(before + 50);
    await leaving.drain();
  });
  await load.stop();
  expect(load.failures).toEqual([]);
}, 60_000);

/** Index of the broker that leads a stream. */
async function leaderOf({ urls }: Cluster, stream: string): Promise<number> {
  const connection = await connectNats({ servers: [...urls] });
  try {
    const { streams } = await jetstreamManager(connection, { timeout: 20_000 });
    const { cluster } = await streams.info(stream);
    return Number(cluster?.leader?.at(-1)) - 1;
  } finally {
    await connection.close();
  }
}
