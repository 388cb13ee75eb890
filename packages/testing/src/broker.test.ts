import { existsSync } from "node:fs";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { afterEach, beforeEach, expect, test } from "vitest";
import { startBroker } from "./broker.ts";

let connections: NatsConnection[] = [];
let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "plexus-test-"));
});
afterEach(async () => {
  await Promise.all(connections.map((connection) => connection.close()));
  connections = [];
  await rm(directory, { recursive: true });
});

async function open(url: string): Promise<NatsConnection> {
  const connection = await connect({
    servers: url,
    reconnectTimeWait: 20,
    maxReconnectAttempts: -1,
  });
  connections.push(connection);
  return connection;
}

async function addStream(url: string): Promise<NatsConnection> {
  const connection = await open(url);
  await (await jetstreamManager(connection)).streams.add({ name: "S", subjects: ["s.>"] });
  return connection;
}

async function storedMessages(connection: NatsConnection): Promise<number> {
  return (await (await jetstreamManager(connection)).streams.info("S")).state.messages;
}

async function nextStatus(connection: NatsConnection, type: string): Promise<void> {
  for await (const status of connection.status()) if (status.type === type) return;
}

test("a broker takes clients as soon as it is started, with JetStream", async () => {
  await using broker = await startBroker();
  const connection = await addStream(broker.url);
  expect(connection.info?.port).toBe(broker.port);
  expect(connection.info?.version).toBe(broker.version);
  expect((await fetch(`${broker.monitorUrl}/healthz`)).status).toBe(200);
});

test("a broker starts in well under 200 ms", async () => {
  await using warm = await startBroker();
  const times = [];
  for (let i = 0; i < 5; i += 1) {
    const start = performance.now();
    await using broker = await startBroker();
    times.push(performance.now() - start);
    expect(broker.port).not.toBe(warm.port);
  }
  expect(times.toSorted((a, b) => a - b)[2]).toBeLessThan(200);
});

test("many brokers start at once, each on a port of its own", async () => {
  await using stack = new AsyncDisposableStack();
  const brokers = await Promise.all(Array.from({ length: 8 }, () => startBroker()));
  for (const broker of brokers) stack.use(broker);
  expect(new Set(brokers.map((broker) => broker.port)).size).toBe(8);
});

test("a restart keeps the port, the JetStream data and the clients", async () => {
  await using broker = await startBroker();
  const connection = await addStream(broker.url);
  await jetstream(connection).publish("s.a", "one");
  const reconnected = nextStatus(connection, "reconnect");
  const { url, pid } = broker;

  await broker.restart({ downMs: 50 });
  expect(broker.url).toBe(url);
  expect(broker.pid).not.toBe(pid);
  await reconnected;
  expect(await storedMessages(connection)).toBe(1);
});

test("acknowledged messages survive SIGKILL", async () => {
  await using broker = await startBroker();
  const connection = await addStream(broker.url);
  for (let i = 0; i < 100; i += 1) {
    await jetstream(connection).publish("s.a", String(i));
  }
  await broker.kill();
  expect(broker.pid).toBeUndefined();
  await broker.restart();
  expect(await storedMessages(await open(broker.url))).toBe(100);
});

test("a paused broker answers nothing until it is resumed", async () => {
  await using broker = await startBroker();
  const connection = await open(broker.url);
  await broker.pause();
  let answered = false;
  const roundTrip = connection.rtt().then(() => (answered = true));
  await new Promise((resolve) => setTimeout(resolve, 150));
  expect(answered).toBe(false);
  broker.resume();
  await roundTrip;
});

test("a paused broker can be stopped, killed and restarted", async () => {
  await using broker = await startBroker();
  await broker.pause();
  await broker.stop();
  await broker.restart();
  await broker.pause();
  await broker.kill();
  await broker.restart();
  await broker.pause();
  await broker.restart();
  expect((await open(broker.url)).isClosed()).toBe(false);
});

test("disposing removes a temporary store but keeps a given one", async () => {
  const files = () => readdir(directory);
  {
    await using broker = await startBroker({ storeDir: directory });
    await jetstream(await addStream(broker.url)).publish("s.a", "one");
  }
  expect(await files()).toEqual(["jetstream"]);
  await using again = await startBroker({ storeDir: directory });
  expect(await storedMessages(await open(again.url))).toBe(1);
});

test("a broker can do without JetStream", async () => {
  await using broker = await startBroker({ jetstream: false });
  expect((await open(broker.url)).info?.jetstream).toBeFalsy();
});

test("configuration is merged as an object and appended as text", async () => {
  await using merged = await startBroker({
    maxPayload: 2048,
    serverName: "desk",
    config: { jetstream: { max_memory_store: 1_000_000 } },
  });
  const connection = await addStream(merged.url);
  expect(connection.info?.max_payload).toBe(2048);
  expect(connection.info?.server_name).toBe("desk");
  const jsz = (await (await fetch(`${merged.monitorUrl}/jsz`)).json()) as Record<string, unknown>;
  expect(jsz).toMatchObject({ config: { max_memory: 1_000_000 } });

  await using appended = await startBroker({ config: "max_connections: 7 # as in a file" });
  const varz = (await (await fetch(`${appended.monitorUrl}/varz`)).json()) as object;
  expect(varz).toMatchObject({ max_connections: 7 });
});

test("a broker that cannot start says why with the end of its log", async () => {
  await expect(startBroker({ config: "no such setting {" })).rejects.toThrow(/Parse error/);
});

test("a port that is taken is an error when it was asked for", async () => {
  await using first = await startBroker();
  await expect(startBroker({ port: first.port })).rejects.toThrow(/address already in use/);
});

test("the log goes on over restarts", async () => {
  await using broker = await startBroker();
  await broker.restart();
  expect(broker.log(1_000).match(/Server is ready/g)).toHaveLength(2);
  expect(broker.log(3).split("\n")).toHaveLength(3);
});

test("disposing twice, or a broker that is down, is fine", async () => {
  const broker = await startBroker({ storeDir: join(directory, "store") });
  await broker.kill();
  await broker.kill();
  await Promise.all([broker[Symbol.asyncDispose](), broker[Symbol.asyncDispose]()]);
  expect(existsSync(join(directory, "store", "jetstream"))).toBe(true);
});
