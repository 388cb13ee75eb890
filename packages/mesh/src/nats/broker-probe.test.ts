import { startBroker, startCluster } from "@plexus/testing";
import { expect, test } from "vitest";
import { probeBroker } from "./broker-probe.ts";

const timeoutMs = 2_000;

test("a single server is examined and left as it was", async () => {
  await using broker = await startBroker({ maxPayload: 65_536 });
  const report = await probeBroker({ servers: [broker.url], timeoutMs });
  expect(report).toMatchObject({
    address: broker.url.slice("nats://".length),
    version: broker.version,
    cluster: undefined,
    maxPayload: 65_536,
    headers: true,
    jetstream: {
      messageTtl: true,
      atomicBatch: true,
      messageSchedules: true,
      threeReplicas: false,
    },
  });
  expect(report.roundTripMs).toBeGreaterThan(0);
  const jetstream = report.jetstream as { clockSkewMs: number; clockUncertaintyMs: number };
  // The same clock told both times.
  expect(Math.abs(jetstream.clockSkewMs)).toBeLessThanOrEqual(jetstream.clockUncertaintyMs);
  const jsz = (await (await fetch(`${broker.monitorUrl}/jsz`)).json()) as { streams: number };
  expect(jsz.streams).toBe(0);
});

test("a cluster of three places three replicas", async () => {
  await using cluster = await startCluster();
  const report = await probeBroker({ servers: cluster.urls, timeoutMs });
  expect(report.cluster).toBeDefined();
  expect(report.jetstream).toMatchObject({ threeReplicas: true });
});

test("a cluster without a leader is asked until it has one; who cannot wait so long is told that nobody answers", async () => {
  await using cluster = await startCluster();
  const [one, ...others] = cluster.brokers;
  await Promise.all(others.map((broker) => broker.kill()));
  const servers = [one!.url];
  const patient = probeBroker({ servers, timeoutMs: 100_000 });
  const { jetstream } = await probeBroker({ servers, timeoutMs });
  const why = "the server says that JetStream is on, but nobody answers for it";
  expect(jetstream).toEqual({ why, on: true });
  await Promise.all(others.map((broker) => broker.restart()));
  expect((await patient).jetstream).toMatchObject({ messageTtl: true, threeReplicas: true });
}, 150_000);

test("a server without JetStream says so", async () => {
  await using broker = await startBroker({ jetstream: false });
  const report = await probeBroker({ servers: [broker.url], timeoutMs });
  expect(report.jetstream).toEqual({ why: "the server runs without JetStream", on: false });
});

test("no server, or the wrong credentials, is an error", async () => {
  const closed = { servers: ["nats://127.0.0.1:1"], timeoutMs: 100 };
  await expect(probeBroker(closed)).rejects.toMatchObject({ code: "NOT_CONNECTED" });
  await using broker = await startBroker({ config: { authorization: { token: "secret" } } });
  const wrong = { servers: [broker.url], timeoutMs: 100, token: "other" };
  await expect(probeBroker(wrong)).rejects.toMatchObject({ code: "UNAUTHORIZED" });
});
