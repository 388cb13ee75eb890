import { setTimeout as sleep } from "node:timers/promises";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type Broker, startBroker } from "./broker.ts";
import { type Proxy, startProxy } from "./proxy.ts";

let broker: Broker;
let proxy: Proxy;
let connections: NatsConnection[] = [];

beforeEach(async () => {
  broker = await startBroker({ jetstream: false });
  proxy = await startProxy({ target: broker.url });
});
afterEach(async () => {
  await proxy[Symbol.asyncDispose]();
  await Promise.all(connections.map((connection) => connection.close()));
  connections = [];
  await broker[Symbol.asyncDispose]();
});

async function open(servers: string): Promise<NatsConnection> {
  const connection = await connect({ servers, reconnectTimeWait: 20, maxReconnectAttempts: -1 });
  connections.push(connection);
  return connection;
}

/** How many clients the broker believes to have. */
async function clients(): Promise<number> {
  const connz = await (await fetch(`${broker.monitorUrl}/connz`)).json();
  return (connz as { num_connections: number }).num_connections;
}

/** Collects the payloads that arrive at a connection. */
async function collect(connection: NatsConnection): Promise<string[]> {
  const received: string[] = [];
  connection.subscribe("t", { callback: (_, message) => void received.push(message.string()) });
  await connection.flush();
  return received;
}

test("a proxy is transparent, and counts connections and bytes", async () => {
  const received = await collect(await open(proxy.url));
  const sender = await open(broker.url);
  sender.publish("t", "x".repeat(500_000));
  await expect.poll(() => received[0]?.length).toBe(500_000);
  expect(proxy.connections).toMatchObject({ open: 1, total: 1 });
  expect(proxy.bytes.toClient).toBeGreaterThan(500_000);
  expect(proxy.bytes.toTarget).toBeGreaterThan(50);
  await connections[0]!.close();
  await expect.poll(() => proxy.connections.open).toBe(0);
});

test("a delay is felt each way", async () => {
  const connection = await open(proxy.url);
  expect(await connection.rtt()).toBeLessThan(60);
  proxy.delay(60);
  expect(await connection.rtt()).toBeGreaterThanOrEqual(119);
  await proxy.heal();
  expect(await connection.rtt()).toBeLessThan(60);
});

test("jitter keeps the order", async () => {
  const received = await collect(await open(proxy.url));
  const sender = await open(broker.url);
  proxy.delay(2, 10);
  for (let i = 0; i < 200; i += 1) {
    sender.publish("t", String(i));
    if (i % 10 === 0) await sender.flush();
  }
  await expect.poll(() => received.length).toBe(200);
  expect(received).toEqual(Array.from({ length: 200 }, (_, i) => String(i)));
});

test("held bytes arrive after healing, over the same connection, none lost", async () => {
  const connection = await open(proxy.url);
  const received = await collect(connection);
  const sender = await open(broker.url);
  proxy.hold();
  for (let i = 0; i < 100; i += 1) sender.publish("t", String(i));
  await sender.flush();
  await sleep(100);
  expect(received).toEqual([]);
  expect(connection.isClosed()).toBe(false);
  await proxy.heal();
  await expect.poll(() => received.length).toBe(100);
  expect(proxy.connections.total).toBe(1);
});

test("holding one direction leaves the other open", async () => {
  const connection = await open(proxy.url);
  const atBroker = await collect(await open(broker.url));
  proxy.hold("toClient");
  let answered = false;
  const roundTrip = connection.rtt().then(() => (answered = true));
  connection.publish("t", "through");
  await expect.poll(() => atBroker).toEqual(["through"]);
  expect(answered).toBe(false);
  await proxy.heal();
  await roundTrip;
});

test("while bytes are held, the broker does not learn that a client has gone", async () => {
  const connection = await open(proxy.url);
  expect(await clients()).toBe(1);
  proxy.hold("toTarget");
  await connection.close();
  await sleep(100);
  expect(await clients()).toBe(1);
  await proxy.heal();
  await expect.poll(clients).toBe(0);
});

test("a held connection attempt is accepted and gets no answer", async () => {
  proxy.hold();
  await expect(connect({ servers: proxy.url, timeout: 200 })).rejects.toThrow(/timeout/);
});

test("a cut resets connections and refuses new ones until healed", async () => {
  const connection = await open(proxy.url);
  const statuses: string[] = [];
  void (async () => {
    for await (const status of connection.status()) statuses.push(status.type);
  })();
  await proxy.cut();
  await expect.poll(() => statuses).toContain("disconnect");
  expect(proxy.connections.open).toBe(0);
  await expect(connect({ servers: proxy.url, reconnect: false })).rejects.toThrow(/refused/);
  await proxy.heal();
  await expect.poll(() => statuses).toContain("reconnect");
  expect(await connection.rtt()).toBeLessThan(1_000);
});

test("a target that is down looks like a broken connection", async () => {
  await broker.kill();
  await expect(connect({ servers: proxy.url, timeout: 1_000, reconnect: false })).rejects.toThrow(
    /closed|reset|refused/i,
  );
  await broker.restart();
  await open(proxy.url);
});

test("a target without a port is refused", async () => {
  await expect(startProxy({ target: "localhost" })).rejects.toThrow(/has no port/);
});
