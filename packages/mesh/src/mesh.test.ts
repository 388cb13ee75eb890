import { agent, topic } from "@plexus/core";
import { startBroker, startProxy } from "@plexus/testing";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { z } from "zod";
import { fired, gate, meshName, metric, silent, useMeshes } from "../../../test/support/mesh.ts";
import { connect } from "./mesh.ts";

const meshes = useMeshes();

const Any = { input: z.unknown(), output: z.unknown() };
const Echo = agent("echo", { capabilities: { echo: Any, again: { ...Any, idempotent: true } } });
const News = topic("news", { schema: z.unknown() });
const echo = (input: unknown) => input;
const handlers = { echo, again: echo };

describe("hosting and subscribing", () => {
  test("wait for a connection that breaks meanwhile", async () => {
    await using proxy = await startProxy({ target: meshes.broker.url });
    const mesh = await meshes.join({ servers: proxy.url });
    proxy.hold(); // what is on its way is lost with the connection
    const got: unknown[] = [];
    const hosted = mesh.host(Echo, handlers);
    const subscribed = mesh.subscribe(News, (value) => void got.push(value));
    await proxy.cut();
    await expect.poll(() => mesh.connected).toBe(false);
    await proxy.heal();
    await Promise.all([hosted, subscribed]);
    const other = await meshes.join();
    await other.waitFor(Echo);
    expect(await other.get(Echo).echo(1)).toBe(1);
    await other.publish(News, 2);
    await expect.poll(() => got).toEqual([2]);
  });

  test("fail with NOT_CONNECTED if there is none for some seconds, and leave nothing behind", async () => {
    await using proxy = await startProxy({ target: meshes.broker.url });
    const mesh = await meshes.join({ servers: proxy.url });
    await proxy.cut();
    const reason = { code: "NOT_CONNECTED", message: "The broker does not answer." };
    await Promise.all([
      expect(mesh.host(Echo, handlers)).rejects.toMatchObject(reason),
      expect(mesh.subscribe(News, () => 0)).rejects.toMatchObject(reason),
    ]);
    await proxy.heal();
    await expect.poll(() => mesh.connected).toBe(true);
    const other = await meshes.join();
    await expect(other.get(Echo).echo(1)).rejects.toMatchObject({ code: "NO_AGENT" });
  });
});

describe("connecting", () => {
  test("to nobody fails with NOT_CONNECTED in time, and says what to do", async () => {
    const started = performance.now();
    const failed = connect({ servers: "nats://127.0.0.1:1", timeout: 300, log: silent });
    await expect(failed).rejects.toMatchObject({ code: "NOT_CONNECTED", retryable: true });
    await expect(failed).rejects.toThrow(/nats:\/\/127\.0\.0\.1:1.*PLEXUS_SERVERS/);
    expect(performance.now() - started).toBeLessThan(4_000);
  });

  test("to a server that does not answer fails with NOT_CONNECTED in time", async () => {
    await using proxy = await startProxy({ target: meshes.broker.url });
    proxy.hold();
    const started = performance.now();
    const failed = connect({ servers: proxy.url, timeout: 300, log: silent });
    await expect(failed).rejects.toMatchObject({ code: "NOT_CONNECTED" });
    expect(performance.now() - started).toBeLessThan(5_000);
  });

  test("takes an environment variable that is empty for one that is not set", async () => {
    for (const name of ["MESH", "NAME", "HTTP_PORT"]) vi.stubEnv(`PLEXUS_${name}`, "");
    onTestFinished(() => void vi.unstubAllEnvs());
    await using mesh = await connect({ servers: meshes.broker.url, log: silent });
    expect(mesh).toMatchObject({ mesh: "plexus", name: "agent" });
    vi.stubEnv("PLEXUS_SERVERS", "");
    const ended = await connect({ timeout: 300, log: silent }).then(
      (found) => found.close(),
      ({ code }) => code as string,
    );
    expect([undefined, "NOT_CONNECTED"]).toContain(ended); // whether anybody is at the default address or not
  });

  test("waits for a broker that comes up a moment later", async () => {
    await using proxy = await startProxy({ target: meshes.broker.url });
    await proxy.cut();
    const connecting = meshes.join({ servers: proxy.url });
    setTimeout(() => void proxy.heal(), 400);
    expect((await connecting).connected).toBe(true);
  });

  test("to a broker without JetStream fails with INCOMPATIBLE_BROKER", async () => {
    await using broker = await startBroker({ jetstream: false });
    const failed = connect({ servers: broker.url, log: silent });
    await expect(failed).rejects.toMatchObject({ code: "INCOMPATIBLE_BROKER" });
    await expect(failed).rejects.toThrow(/JetStream/);
  });

  test("needs the right credentials", async () => {
    const authorization = { users: [{ user: "desk", password: "right" }] };
    await using broker = await startBroker({ config: { authorization } });
    const common = { servers: broker.url, log: silent, http: false } as const;
    await expect(connect(common)).rejects.toMatchObject({ code: "UNAUTHORIZED" });
    const wrong = { ...common, user: "desk", password: "wrong" };
    await expect(connect(wrong)).rejects.toMatchObject({ code: "UNAUTHORIZED" });
    await using mesh = await connect({ ...common, user: "desk", password: "right" });
    expect(mesh.connected).toBe(true);
  });

  test("takes a token, and the second server of a list when the first is down", async () => {
    await using broker = await startBroker({ config: { authorization: { token: "secret" } } });
    const servers = ["nats://127.0.0.1:1", broker.url];
    await using mesh = await connect({ servers, token: "secret", log: silent, http: false });
    expect(mesh.connected).toBe(true);
  });

  test("refuses names that would be more than one token, before it sends anything", async () => {
    const hostile = ["", "a.b", "a b", "*", ">", "a\r\nPUB x 0\r\n", "x".repeat(64), "ü"];
    await Promise.all(
      hostile.flatMap((name) =>
        [{ name }, { mesh: name }].map((option) =>
          expect(
            connect({ servers: meshes.broker.url, log: silent, ...option }),
          ).rejects.toMatchObject({ code: "INVALID_CONTRACT" }),
        ),
      ),
    );
  });

  test("a name of full length still makes an instance that can be asked", async () => {
    const mesh = await meshes.join({ name: "n".repeat(63) });
    const { info } = await mesh.host(Echo, handlers);
    expect(await mesh.inspect(info.instance)).toMatchObject({ name: "n".repeat(63) });
  });
});

describe("hostile names", () => {
  const hostile = ["", "a.b", "a b", "*", ">", "\r\nPUB x 0\r\n", "x".repeat(64)];
  test.each(hostile)("%j is refused wherever a name is expected", async (name) => {
    const mesh = await meshes.join();
    const invalid = { code: "INVALID_CONTRACT" };
    expect(() => agent(name, { capabilities: { a: Any } })).toThrow(
      expect.objectContaining(invalid),
    );
    expect(() => agent("a", { capabilities: { [name]: Any } })).toThrow(
      expect.objectContaining(invalid),
    );
    await expect((async () => mesh.invoke(name, "a", 0))()).rejects.toMatchObject(invalid);
    await expect((async () => mesh.invoke("a", name, 0))()).rejects.toMatchObject(invalid);
    await expect((async () => mesh.inspect(name))()).rejects.toMatchObject(invalid);
    await expect((async () => mesh.drain(name))()).rejects.toMatchObject(invalid);
    await expect(mesh.subscribe(News, () => 0, { group: name })).rejects.toMatchObject(invalid);
    expect(mesh.connected).toBe(true);
    expect(await metric(mesh, "plexus_frames_total")).toBe(0);
  });
});

describe("two meshes on one broker", () => {
  test("never see each other's agents, calls, events or messages", async () => {
    const [here, there] = [await meshes.join(), await meshes.join({ mesh: meshName() })];
    await here.host(Echo, { echo: () => "here", again: () => "here" });
    await here.waitFor(Echo);
    const seen: unknown[] = [];
    there.tap((message) => seen.push(message));
    await there.subscribe(News, (value) => void seen.push(value));
    there.watch((change) => seen.push(change));
    await there.invoke("x", "y", 0).catch(() => undefined);

    expect(await here.get(Echo).echo(0)).toBe("here");
    await here.publish(News, 1);
    expect(there.agents()).toEqual([]);
    await expect(there.get(Echo).echo(0)).rejects.toMatchObject({ code: "NO_AGENT" });
    await expect(there.inspect(here.agents()[0]!.instance)).rejects.toMatchObject({
      code: "NO_AGENT",
    });

    await there.host(Echo, { echo: () => "there", again: () => "there" });
    expect(await there.get(Echo).echo(0)).toBe("there");
    expect(await here.get(Echo).echo(0)).toBe("here");
    const strange = JSON.stringify(seen).includes(meshes.name);
    expect(strange).toBe(false);
    expect(seen).not.toContain(1);
  });
});

describe("closing", () => {
  test("twice is closing once, and afterwards everything is NOT_CONNECTED at once", async () => {
    const mesh = await meshes.join();
    await mesh.host(Echo, handlers);
    const client = mesh.get(Echo);
    expect(await client.echo(1)).toBe(1);
    await Promise.all([mesh.close(), mesh.close()]);
    await mesh[Symbol.asyncDispose]();
    const closed = { code: "NOT_CONNECTED" };
    expect(mesh.connected).toBe(false);
    await expect(client.echo(1)).rejects.toMatchObject(closed);
    await expect(client.again(1)).rejects.toMatchObject(closed);
    await expect(mesh.host(Echo, handlers)).rejects.toMatchObject(closed);
    await expect(mesh.subscribe(News, () => 0)).rejects.toMatchObject(closed);
    await expect((async () => mesh.publish(News, 1))()).rejects.toMatchObject(closed);
    expect(() => mesh.get(Echo)).toThrow(expect.objectContaining(closed));
  });

  test("cancels the calls that wait for an answer, and their handlers, idempotent or not", async () => {
    const host = await meshes.join();
    const canceled: unknown[] = [];
    const wait = async (input: unknown, { signal }: { signal: AbortSignal }) => {
      await fired(signal);
      canceled.push(input);
    };
    await host.host(Echo, { echo: wait, again: wait });
    const caller = await meshes.join();
    await caller.waitFor(Echo);
    const client = caller.get(Echo);
    const calls = [client.echo("echo"), client.again("again")];
    const outcomes = Promise.allSettled(calls);
    const [instance] = caller.agents();
    await expect.poll(() => host.inspect(instance!.instance)).toMatchObject({ running: 2 });
    await caller.close();
    expect(await outcomes).toMatchObject([
      { reason: { code: "CANCELED" } },
      { reason: { code: "CANCELED" } },
    ]);
    await expect.poll(() => new Set(canceled)).toEqual(new Set(["again", "echo"]));
  });

  test("handles the events that have arrived", async () => {
    const publisher = await meshes.join();
    const mesh = await meshes.join();
    const got: unknown[] = [];
    const first = gate();
    await mesh.subscribe(News, async (value) => {
      first.open();
      await new Promise((resolve) => setImmediate(resolve));
      got.push(value);
    });
    for (let n = 0; n < 50; n++) void publisher.publish(News, n);
    await first.opened;
    await mesh.close();
    expect(got).toEqual(Array.from({ length: 50 }, (_, n) => n)); // they came in one frame
  });

  test("ends in time while the broker is away, with calls, hosts and subscriptions", async () => {
    await using proxy = await startProxy({ target: meshes.broker.url });
    const mesh = await meshes.join({ servers: proxy.url });
    await mesh.host(
      Echo,
      { echo: async (_i, { signal }) => fired(signal), again: echo },
      {
        drainTimeout: 100,
      },
    );
    await mesh.subscribe(News, () => 0);
    const pending = mesh.get(Echo).echo(0);
    const outcome = pending.catch((error: unknown) => error);
    await proxy.cut();
    await expect.poll(() => mesh.connected).toBe(false);
    const waiting = mesh
      .get(Echo)
      .again(0)
      .catch((error: unknown) => error);
    const started = performance.now();
    await mesh.close();
    expect(performance.now() - started).toBeLessThan(12_000);
    expect(await outcome).toMatchObject({ code: "NOT_CONNECTED" });
    expect(await waiting).toMatchObject({ code: "CANCELED" });
  });

  test("ends in time while the broker does not answer", async () => {
    await using proxy = await startProxy({ target: meshes.broker.url });
    const mesh = await meshes.join({ servers: proxy.url });
    await mesh.host(Echo, handlers);
    await mesh.subscribe(News, () => 0);
    proxy.hold();
    const started = performance.now();
    await mesh.close();
    expect(performance.now() - started).toBeLessThan(18_000);
  });

  test("and draining leave no subscription on the broker", async () => {
    const subscriptions = async (mesh: { client: string }) => {
      const response = await fetch(`${meshes.broker.monitorUrl}/connz?subs=1`);
      const { connections } = (await response.json()) as {
        connections: { name?: string; subscriptions_list?: string[] }[];
      };
      return connections.find(({ name }) => name === mesh.client)?.subscriptions_list?.toSorted();
    };
    const mesh = await meshes.join();
    const before = await subscriptions(mesh);
    const hosted = await mesh.host(Echo, handlers);
    const subscription = await mesh.subscribe(News, () => 0);
    const untap = mesh.tap(() => undefined);
    await mesh.get(Echo).echo(0);
    expect((await subscriptions(mesh))!.length).toBeGreaterThan(before!.length + 5);
    untap();
    await Promise.all([hosted.drain(), subscription.unsubscribe()]);
    await expect.poll(() => subscriptions(mesh)).toEqual(before);
    await mesh.close();
    await expect.poll(() => subscriptions(mesh)).toBeUndefined();
  });
});

describe("without a connection", () => {
  test("hosting and subscribing fail with NOT_CONNECTED and leave nothing behind", async () => {
    await using proxy = await startProxy({ target: meshes.broker.url });
    const mesh = await meshes.join({ servers: proxy.url });
    await proxy.cut();
    await expect.poll(() => mesh.connected).toBe(false);
    await expect(mesh.host(Echo, handlers)).rejects.toMatchObject({ code: "NOT_CONNECTED" });
    const got: unknown[] = [];
    const subscribing = mesh.subscribe(News, (value) => void got.push(value));
    await expect(subscribing).rejects.toMatchObject({ code: "NOT_CONNECTED" });
    await proxy.heal();
    await expect.poll(() => mesh.connected, { timeout: 10_000 }).toBe(true);
    const other = await meshes.join();
    expect(other.agents()).toEqual([]);
    await other.publish(News, 1);
    await mesh.host(Echo, handlers);
    expect(await mesh.get(Echo).echo("again")).toBe("again");
    expect(got).toEqual([]);
    await mesh.close();
  });

  test("a call waits for the connection and is then answered", async () => {
    await using proxy = await startProxy({ target: meshes.broker.url });
    const host = await meshes.join();
    await host.host(Echo, handlers);
    const caller = await meshes.join({ servers: proxy.url });
    await caller.waitFor(Echo);
    await proxy.cut();
    await expect.poll(() => caller.connected).toBe(false);
    const call = caller.get(Echo).echo("late");
    await expect(caller.get(Echo).echo(0, { timeout: 100 })).rejects.toMatchObject({
      code: "NOT_CONNECTED",
      retryable: true,
    });
    await proxy.heal();
    expect(await call).toBe("late");
    expect(await metric(caller, "plexus_reconnects_total")).toBe(1);
  });

  test("a call whose answer the network swallows ends with TIMEOUT at its time", async () => {
    await using proxy = await startProxy({ target: meshes.broker.url });
    const host = await meshes.join();
    await host.host(Echo, handlers);
    const caller = await meshes.join({ servers: proxy.url });
    await caller.waitFor(Echo);
    proxy.hold("toClient");
    await expect(caller.get(Echo).echo(0, { timeout: 200 })).rejects.toMatchObject({
      code: "TIMEOUT",
    });
    await proxy.heal();
    expect(await caller.get(Echo).echo("healed")).toBe("healed");
  });
});

test("waiting for an agent ends when it comes, when time is up, and when it is no longer wanted", async () => {
  const [host, caller] = [await meshes.join(), await meshes.join()];
  const waiting = caller.waitFor(Echo);
  const two = caller.waitFor("echo", { instances: 2, timeout: 200 });
  const never = caller.waitFor("nobody", { signal: AbortSignal.timeout(50) });
  await Promise.all([
    host.host(Echo, handlers).then(() => waiting),
    expect(two).rejects.toMatchObject({ code: "NO_AGENT" }),
    expect(two).rejects.toThrow(/1 of 2 instances/),
    expect(never).rejects.toMatchObject({ code: "CANCELED" }),
  ]);
  await caller.waitFor(Echo);
});

test("a listener that throws harms neither the connection nor the other listeners", async () => {
  const [host, caller] = [await meshes.join(), await meshes.join()];
  const seen: string[] = [];
  caller.watch(() => {
    throw new Error("watch");
  });
  caller.watch(({ type, instance }) => seen.push(`${type} ${instance.agent}`));
  caller.tap(() => {
    throw new Error("tap");
  });
  const hosted = await host.host(Echo, handlers);
  await caller.waitFor(Echo);
  expect(await caller.get(Echo).echo(1)).toBe(1);
  await hosted.drain();
  await expect.poll(() => seen).toEqual(["joined echo", "left echo"]);
  expect(await metric(caller, "plexus_bad_messages_total")).toBe(0);
});
