import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "@plexus/mesh";
import { startCluster, type NodeProcess } from "@plexus/testing";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect as connectNats } from "@nats-io/transport-node";
import { expect, test } from "vitest";
import { fired, inTurn, meshName, silent, upTo, useMeshes } from "../support/mesh.ts";
import { startAgent } from "../support/workers.ts";

const meshes = useMeshes();

const TTL_MS = 2_000;

/** Starts a process that wants the lease; `acquired` tells its token and when that was. */
async function startLessee() {
  const process = startAgent(meshes, "lessee", ["one", String(TTL_MS)]);
  await process.waitForLine("ready");
  return {
    process,
    acquired: async () => {
      const [, token, at] = (await process.waitForLine("acquired", 20_000)).split(" ");
      return { token: Number(token), at: Number(at) };
    },
    [Symbol.asyncDispose]: () => process[Symbol.asyncDispose](),
  };
}

test("a holder that is killed is replaced within the ttl and a second", async () => {
  await using first = await startLessee();
  const { token } = await first.acquired();
  await using second = await startLessee();
  await sleep(TTL_MS); // some renewals
  const killed = Date.now();
  await first.process.kill();
  const next = await second.acquired();
  expect(next.token).toBeGreaterThan(token);
  expect(next.at - killed).toBeLessThan(TTL_MS + 1_000);
});

test("a holder that ends in an orderly way is replaced at once", async () => {
  await using first = await startLessee();
  await first.acquired();
  await using second = await startLessee();
  await sleep(200);
  const ended = Date.now();
  await first.process.kill("SIGTERM");
  expect((await second.acquired()).at - ended).toBeLessThan(1_000);
});

test("a holder that stood still past its ttl finds out that it has lost, and is fenced", async () => {
  await using first = await startLessee();
  const { token } = await first.acquired();
  await using second = await startLessee();
  await sleep(200);
  await first.process.pause();
  const next = await second.acquired();
  expect(next.token).toBeGreaterThan(token);
  await sleep(500);
  const resumed = Date.now();
  first.process.resume();
  const [, code, held, at] = (await first.process.waitForLine("ended")).split(" ");
  expect([code, held]).toEqual(["FENCED", "false"]);
  expect(Number(at) - resumed).toBeLessThan(500);
  const mesh = await meshes.join();
  const details = { token: next.token }; // it has not got it back
  await expect(mesh.lease("one", { wait: 0 })).rejects.toMatchObject({ details });
});

test("each time the leader is killed or stands still another one leads within the ttl and a second", async () => {
  await using stack = new AsyncDisposableStack();
  const terms: { process: NodeProcess; token: number; at: number }[] = [];
  const follow = async (process: NodeProcess): Promise<void> => {
    for await (const line of process.lines()) {
      const [what, token, at] = line.split(" ");
      if (what === "leads") terms.push({ process, token: Number(token), at: Number(at) });
    }
  };
  const start = async (): Promise<void> => {
    const process = stack.use(startAgent(meshes, "candidate", ["one", "1000"]));
    await process.waitForLine("ready");
    void follow(process);
  };
  await Promise.all([start(), start(), start()]);
  await expect.poll(() => terms.length).toBe(1);
  await inTurn(upTo(6), async (n) => {
    const { process, token } = terms.at(-1)!;
    await sleep(500);
    const failed = Date.now();
    await (n % 2 === 0 ? process.pause() : process.kill());
    await expect.poll(() => terms.length).toBe(n + 2);
    expect(terms.at(-1)!.token).toBeGreaterThan(token);
    expect(terms.at(-1)!.at - failed).toBeLessThan(1_000 + 1_000);
    process.resume();
    if (n % 2 === 0) await process.waitForLine(`led ${token}`);
    else await start();
  });
  expect(terms).toHaveLength(7);
}, 60_000);

test("in a cluster a lease outlives the leader of its bucket, and tokens go on rising", async () => {
  await using cluster = await startCluster();
  await using stack = new AsyncDisposableStack();
  const mesh = meshName();
  const join = async (servers: readonly string[]) =>
    stack.use(await connect({ servers, mesh, http: false, log: silent }));
  const [one, two, three] = cluster.urls as [string, string, string];
  const holder = await join([one, two, three]);
  const waiter = await join([two, three, one]);
  const lease = await holder.lease("one", { ttl: "20s" });
  const waiting = waiter.lease("one", { wait: "2m" });
  const nats = await connectNats({ servers: [...cluster.urls] });
  stack.defer(() => nats.close());
  const info = await (await jetstreamManager(nats)).streams.info(`KV_${mesh}-leases`);
  expect(info.config.num_replicas).toBe(3);
  const leader = Number(info.cluster!.leader!.split("-").at(-1)) - 1;
  await cluster.brokers[leader]!.kill();
  await sleep(22_000); // longer than it lives without a renewal
  expect(lease.held).toBe(true);
  await cluster.brokers[leader]!.restart();
  await cluster.ready();
  const released = performance.now();
  await lease.release();
  const next = await waiting;
  expect(performance.now() - released).toBeLessThan(5_000);
  expect(next.token).toBeGreaterThan(lease.token);
  expect(await fired(lease.signal)).toMatchObject({ code: "CANCELED" });
}, 90_000);
