import { setTimeout as sleep } from "node:timers/promises";
import { startProxy } from "@plexus/testing";
import { describe, expect, test } from "vitest";
import { fired, inTurn, metric, upTo, useMeshes } from "../../../test/support/mesh.ts";
import type { Mesh } from "./mesh.ts";

const meshes = useMeshes();

const FENCED = expect.objectContaining({ code: "FENCED" });

describe("a lease", () => {
  test("has one holder at a time, and every holder a higher token than the one before", async () => {
    const contenders = await Promise.all(upTo(5).map(() => meshes.join()));
    const tokens: number[] = [];
    let holders = 0;
    const contend = (mesh: Mesh) =>
      inTurn(upTo(4), async () => {
        await using lease = await mesh.lease("one");
        expect(++holders).toBe(1);
        tokens.push(lease.token);
        await sleep(5);
        expect(lease.held).toBe(true);
        holders--;
      });
    await Promise.all(contenders.flatMap((mesh) => [contend(mesh), contend(mesh)]));
    expect(tokens).toHaveLength(40);
    expect(tokens).toEqual([...new Set(tokens)].toSorted((a, b) => a - b));
  });

  test("that is released is had by the next one at once", async () => {
    const [one, two] = [await meshes.join(), await meshes.join()];
    const first = await one.lease("one", { ttl: "1h" });
    const waiting = two.lease("one", { ttl: "1h" });
    await sleep(200);
    const released = performance.now();
    await first.release();
    await using second = await waiting;
    expect(performance.now() - released).toBeLessThan(500);
    expect(second.token).toBeGreaterThan(first.token);
    expect([first.held, second.held]).toEqual([false, true]);
    expect(first.signal.reason).toMatchObject({ code: "CANCELED" });
    await first.release(); // again: nothing happens to the next holder
    await sleep(50);
    expect(second.signal.aborted).toBe(false);
  });

  test("outlives its time to live as long as its holder lives", async () => {
    const [one, two] = [await meshes.join(), await meshes.join()];
    await using lease = await one.lease("one", { ttl: 500 });
    await expect(two.lease("one", { wait: "2s" })).rejects.toMatchObject({ code: "TIMEOUT" });
    expect(lease.held).toBe(true);
    expect(lease.signal.aborted).toBe(false);
  });

  test("is not reentrant: a second one of the same process has to wait", async () => {
    const mesh = await meshes.join();
    await using lease = await mesh.lease("one");
    await expect(mesh.lease("one", { wait: 0 })).rejects.toMatchObject({
      code: "CONFLICT",
      details: { holder: mesh.client, token: lease.token },
    });
  });

  test("can have any name, and different names are different leases", async () => {
    const mesh = await meshes.join();
    const names = ["a", "A", "a.b", "a b", "*", ">", "ü", "=0", "\r\nPUB x 0\r\n", "x".repeat(500)];
    const leases = await Promise.all(names.map((name) => mesh.lease(name, { wait: 0 })));
    expect(new Set(leases.map(({ token }) => token)).size).toBe(names.length);
    expect(leases.map(({ name }) => name)).toEqual(names);
    expect(await metric(mesh, "plexus_leases_held")).toBe(names.length);
    await Promise.all(leases.map((lease) => lease.release()));
    const events = ["acquired", "released", "lost"];
    const counts = events.map((event) => metric(mesh, "plexus_lease_transitions_total", { event }));
    expect(await Promise.all(counts)).toEqual([names.length, names.length, 0]);
    expect(await metric(mesh, "plexus_leases_held")).toBe(0);
  });

  test("with a senseless name or time to live is refused", async () => {
    const mesh = await meshes.join();
    const invalid = { code: "INVALID_CONTRACT" };
    await expect(mesh.lease("")).rejects.toMatchObject(invalid);
    await expect(mesh.lease(7 as never)).rejects.toMatchObject(invalid);
    await expect(mesh.lease("one", { ttl: 499 })).rejects.toMatchObject(invalid);
    await expect(mesh.lease("one", { ttl: "2d" })).rejects.toMatchObject(invalid);
    await expect(mesh.lease("one", { wait: -1 })).rejects.toMatchObject(invalid);
  });
});

describe("whoever does not get a lease", () => {
  test("is told who has it: at once if it does not want to wait, else when its time is up", async () => {
    const [one, two] = [await meshes.join({ name: "desk" }), await meshes.join()];
    await using lease = await one.lease("one", { ttl: "4s" });
    const details = { holder: one.client, token: lease.token, expiresInMs: expect.any(Number) };
    const atOnce = two.lease("one", { wait: 0 });
    await expect(atOnce).rejects.toMatchObject({ code: "CONFLICT", retryable: true, details });
    await expect(atOnce).rejects.toThrow(/one was not obtained: desk-\w+ holds it/);
    const started = performance.now();
    const later = two.lease("one", { wait: 300 });
    await expect(later).rejects.toMatchObject({ code: "TIMEOUT", retryable: true, details });
    expect(performance.now() - started).toBeGreaterThan(290);
    expect(performance.now() - started).toBeLessThan(1_000);
  });

  test("can give up at any time, and is then out of the way of the others", async () => {
    await using proxy = await startProxy({ target: meshes.broker.url });
    const [one, two] = [await meshes.join(), await meshes.join({ servers: proxy.url })];
    const canceled = { code: "CANCELED", cause: "enough" };
    const signal = AbortSignal.abort("enough");
    await expect(two.lease("one", { signal })).rejects.toMatchObject(canceled);
    const first = await one.lease("one", { ttl: "1h" });
    const giving = new AbortController();
    const waiting = two.lease("one", { signal: giving.signal });
    setTimeout(() => giving.abort("enough"), 100);
    await expect(waiting).rejects.toMatchObject(canceled);
    await first.release();
    // While the write is on its way: the broker is 100 ms away, and is read from first.
    proxy.delay(100);
    const late = new AbortController();
    const lost = two.lease("one", { ttl: "1h", signal: late.signal });
    setTimeout(() => late.abort("enough"), 350);
    await expect(lost).rejects.toMatchObject(canceled);
    await using last = await one.lease("one", { wait: "2s" });
    expect(last.held).toBe(true);
  });

  test("leaves no subscription behind", async () => {
    const [one, two] = [await meshes.join(), await meshes.join()];
    const subscriptions = async () => {
      const response = await fetch(`${meshes.broker.monitorUrl}/connz?subs=1`);
      const { connections } = (await response.json()) as {
        connections: { name?: string; subscriptions_list?: string[] }[];
      };
      return connections.find(({ name }) => name === two.client)?.subscriptions_list?.length;
    };
    await (await two.lease("other")).release(); // what asking the broker needs stays
    const before = await subscriptions();
    await using lease = await one.lease("one");
    await expect(two.lease("one", { wait: 50 })).rejects.toMatchObject({ code: "TIMEOUT" });
    await expect.poll(subscriptions).toBe(before);
    expect(lease.held).toBe(true);
  });

  test("at once, because there is no connection, is told that", async () => {
    await using proxy = await startProxy({ target: meshes.broker.url });
    const mesh = await meshes.join({ servers: proxy.url });
    await proxy.cut();
    await expect.poll(() => mesh.connected).toBe(false);
    const notConnected = { code: "NOT_CONNECTED", retryable: true };
    await expect(mesh.lease("one", { wait: 0 })).rejects.toMatchObject(notConnected);
    await expect(mesh.lease("one", { wait: 200 })).rejects.toMatchObject(notConnected);
    const waiting = mesh.lease("one", { wait: "10s" });
    await proxy.heal();
    await using lease = await waiting;
    expect(lease.held).toBe(true);
  });
});

describe("closing a mesh", () => {
  test("releases its leases, ends its waiting, and refuses new ones", async () => {
    const [one, two] = [await meshes.join(), await meshes.join()];
    const first = await one.lease("one", { ttl: "1h" });
    const canceled = one.lease("one").catch((error: unknown) => error);
    const next = two.lease("one");
    await sleep(100);
    const closing = performance.now();
    await one.close();
    await using lease = await next;
    expect(performance.now() - closing).toBeLessThan(1_000);
    expect(lease.token).toBeGreaterThan(first.token);
    expect(first.held).toBe(false);
    expect(await fired(first.signal)).toMatchObject({ code: "CANCELED" });
    expect(await canceled).toMatchObject({ code: "CANCELED" });
    await expect(one.lease("one")).rejects.toMatchObject({ code: "NOT_CONNECTED" });
  });
});

test("a holder whose process stood still knows at once, and nobody waits for what it left", async () => {
  const [one, two] = [await meshes.join(), await meshes.join()];
  const lease = await one.lease("one", { ttl: 500 });
  const until = performance.now() + 700;
  while (performance.now() < until); // no timer can fire
  expect(lease.held).toBe(false);
  expect(await fired(lease.signal)).toEqual(FENCED);
  const known = performance.now();
  await using next = await two.lease("one");
  expect(performance.now() - known).toBeLessThan(300); // and not the ttl once more
  expect(next.token).toBeGreaterThan(lease.token);
});
