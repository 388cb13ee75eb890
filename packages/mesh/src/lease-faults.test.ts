import { setTimeout as sleep } from "node:timers/promises";
import { jetstreamManager } from "@nats-io/jetstream";
import { startBroker, startProxy, type Proxy } from "@plexus/testing";
import { describe, expect, test } from "vitest";
import { fired, inTurn, metric, silent, useMeshes } from "../../../test/support/mesh.ts";
import { connect } from "./mesh.ts";

const meshes = useMeshes();

const lost = expect.objectContaining({ code: "FENCED" });
const ttl = 1_500;

describe("a holder that is cut off from the broker", () => {
  test.each(["cut", "hold"] as const)(
    "(%s) gives up before anybody else acquires",
    async (fault) => {
      await using proxy = await startProxy({ target: meshes.broker.url });
      const [holder, other] = [await meshes.join({ servers: proxy.url }), await meshes.join()];
      const first = await holder.lease("one", { ttl });
      const waiting = other
        .lease("one", { ttl })
        .then((lease) => ({ lease, at: performance.now() }));
      const gaveUp = fired(first.signal).then((reason) => ({ reason, at: performance.now() }));
      await sleep(ttl); // some renewals
      await proxy[fault]();
      const broken = performance.now();
      const [{ reason, at: gaveUpAt }, { lease: second, at: takenAt }] = await Promise.all([
        gaveUp,
        waiting,
      ]);
      expect(reason).toEqual(lost);
      expect(first.held).toBe(false);
      expect(gaveUpAt).toBeLessThan(takenAt);
      expect(gaveUpAt - broken).toBeLessThan(ttl + 100);
      expect(takenAt - broken).toBeLessThan(ttl + 1_000);
      expect(second.token).toBeGreaterThan(first.token);
      expect(await metric(holder, "plexus_lease_transitions_total", { event: "lost" })).toBe(1);
      // Back on the network it neither disturbs the new holder nor gets its lease back.
      await proxy.heal();
      await sleep(ttl);
      expect([first.held, second.held]).toEqual([false, true]);
    },
  );

  test("for less than the time to live keeps the lease", async () => {
    await using proxy = await startProxy({ target: meshes.broker.url });
    const [holder, other] = [await meshes.join({ servers: proxy.url }), await meshes.join()];
    await using lease = await holder.lease("one", { ttl: 2_500 });
    const waiting = other.lease("one", { wait: "6s" });
    await sleep(500);
    await proxy.cut();
    await sleep(500);
    await proxy.heal();
    await expect(waiting).rejects.toMatchObject({ code: "TIMEOUT" });
    expect(lease.held).toBe(true);
  }, 90_000);

  test("keeps the lease when renewals arrived whose answers did not", async () => {
    await using proxy = await startProxy({ target: meshes.broker.url });
    const [holder, other] = [await meshes.join({ servers: proxy.url }), await meshes.join()];
    await using lease = await holder.lease("one", { ttl: 2_100 });
    const waiting = other.lease("one", { wait: "5s" });
    await sleep(600); // the first renewal is due after 0.7 s, and times out 0.35 s later
    proxy.hold("toClient");
    await sleep(700);
    await proxy.heal();
    await expect(waiting).rejects.toMatchObject({ code: "TIMEOUT" });
    expect(lease.held).toBe(true);
    expect(lease.signal.aborted).toBe(false);
  });
});

test("who waits, and is cut off when the lease is released, gets it when the network is back", async () => {
  await using proxy = await startProxy({ target: meshes.broker.url });
  const [holder, other] = [await meshes.join(), await meshes.join({ servers: proxy.url })];
  const first = await holder.lease("one", { ttl: "1h" });
  const waiting = other.lease("one");
  await sleep(100);
  await proxy.cut();
  await expect.poll(() => other.connected).toBe(false);
  await first.release();
  await proxy.heal();
  await expect.poll(() => other.connected).toBe(true);
  const back = performance.now();
  await using lease = await waiting;
  expect(performance.now() - back).toBeLessThan(1_000);
  expect(lease.token).toBeGreaterThan(first.token);
});

/** Waits for a lease whose holder has vanished, and gets no answers from the moment when it becomes free. */
async function waitUnheard(proxy: Proxy, wait: number) {
  await using gone = await startProxy({ target: meshes.broker.url });
  const [holder, waiter] = [
    await meshes.join({ servers: gone.url }),
    await meshes.join({ servers: proxy.url }),
  ];
  await holder.lease("one", { ttl: 500 });
  const waiting = waiter.lease("one", { ttl: "6s", wait }); // writes time out after 1 s
  const outcome = waiting.catch((error: unknown) => error);
  await sleep(100);
  await gone.cut();
  proxy.hold("toClient");
  const other = await meshes.join();
  const arrived = { code: "CONFLICT", details: { holder: waiter.client } };
  const attempt = () => other.lease("one", { wait: 0 }).catch((error: unknown) => error);
  await expect.poll(attempt, { interval: 50 }).toMatchObject(arrived);
  return { outcome, other };
}

describe("whoever does not hear that its write has arrived", () => {
  test("takes it back when it gives up", async () => {
    await using proxy = await startProxy({ target: meshes.broker.url });
    const { outcome, other } = await waitUnheard(proxy, 2_500);
    expect(await outcome).toMatchObject({ code: "TIMEOUT" });
    await proxy.heal();
    await using lease = await other.lease("one", { wait: "2s" });
    expect(lease.held).toBe(true);
  });

  test("has the lease as soon as it can be told", async () => {
    await using proxy = await startProxy({ target: meshes.broker.url });
    const { outcome } = await waitUnheard(proxy, 10_000);
    await sleep(1_300);
    await proxy.heal();
    const healed = performance.now();
    expect(await outcome).toMatchObject({ held: true });
    expect(performance.now() - healed).toBeLessThan(2_000);
  });
});

test("who tries now and then without waiting takes over from a dead holder, too", async () => {
  await using proxy = await startProxy({ target: meshes.broker.url });
  const [holder, other] = [await meshes.join({ servers: proxy.url }), await meshes.join()];
  const first = await holder.lease("one", { ttl });
  await proxy.cut();
  const cut = performance.now();
  const attempt = () => other.lease("one", { wait: 0 }).catch(() => undefined);
  await expect.poll(attempt, { interval: 100 }).toMatchObject({ held: true });
  expect(performance.now() - cut).toBeGreaterThan(ttl);
  expect(performance.now() - cut).toBeLessThan(ttl + 1_000);
  expect(first.held).toBe(false);
});

describe("a broker that restarts", () => {
  test.each(["SIGTERM", "SIGKILL"] as const)(
    "(%s) leaves leases with their holders, and tokens go on rising",
    async (signal) => {
      await using broker = await startBroker();
      const options = { servers: broker.url, http: false, log: silent } as const;
      await using one = await connect(options);
      await using two = await connect(options);
      // Right after the bucket was made, and later.
      const tokens: number[] = [];
      await inTurn([1, 2], async () => {
        const lease = await one.lease("one", { ttl: "2s" });
        const waiting = two.lease("one", { ttl: "2s" });
        await sleep(50);
        await broker.restart({ signal, downMs: 200 });
        await expect.poll(() => one.connected && two.connected).toBe(true);
        await sleep(2_300); // the waiting one would have taken over
        expect(lease.held).toBe(true);
        expect(lease.signal.aborted).toBe(false);
        await lease.release();
        const next = await waiting;
        tokens.push(lease.token, next.token);
        await next.release();
      });
      expect(tokens).toEqual([...new Set(tokens)].toSorted((a, b) => a - b));
    },
    90_000,
  );
});

describe("the bucket", () => {
  test("is on disk, without a time to live, and read from its leader", async () => {
    const mesh = await meshes.join();
    await using lease = await mesh.lease("one");
    const manager = await jetstreamManager(await meshes.nats());
    const { config } = await manager.streams.info(`KV_${meshes.name}-leases`);
    expect(config).toMatchObject({
      storage: "file",
      max_msgs_per_subject: 1,
      max_age: 0,
      allow_direct: false,
      deny_delete: true,
      deny_purge: true,
    });
    expect(config.allow_msg_ttl ?? false).toBe(false);
    expect(lease.held).toBe(true);
  });

  test("that is lost takes all leases with it, but tokens go on rising", async () => {
    const [one, two] = [await meshes.join(), await meshes.join()];
    const first = await one.lease("one", { ttl });
    const manager = await jetstreamManager(await meshes.nats());
    await manager.streams.delete(`KV_${meshes.name}-leases`);
    expect(await fired(first.signal)).toEqual(lost);
    const second = await one.lease("one", { wait: "5s" }); // whoever comes first makes it again
    await second.release();
    await using third = await two.lease("one");
    expect(second.token).toBeGreaterThan(first.token);
    expect(third.token).toBeGreaterThan(second.token);
  });

  test("holds what nobody can read: that counts as held, not as free", async () => {
    const mesh = await meshes.join();
    await (await mesh.lease("one")).release();
    const nats = await meshes.nats();
    await inTurn(["not json", "null", '{"holder":1}', "[]"], async (value) => {
      await nats.request(`$KV.${meshes.name}-leases.one`, value);
      await expect(mesh.lease("one", { wait: 0 })).rejects.toMatchObject({
        code: "CONFLICT",
        details: { holder: "unknown" },
      });
    });
    await nats.request(`$KV.${meshes.name}-leases.one`, ""); // as an operator would free it
    await using lease = await mesh.lease("one", { wait: 0 });
    expect(lease.held).toBe(true);
  });

  test("is one for each mesh: leases of different meshes have nothing to do with each other", async () => {
    const [here, there] = [await meshes.join(), await meshes.join({ mesh: `${meshes.name}-2` })];
    await using one = await here.lease("one", { wait: 0 });
    await using two = await there.lease("one", { wait: 0 });
    expect([one.held, two.held]).toEqual([true, true]);
  });

  test("a record that an operator removes is a lease lost", async () => {
    const mesh = await meshes.join();
    const lease = await mesh.lease("one", { ttl: "3s" });
    const nats = await meshes.nats();
    await nats.request(`$KV.${meshes.name}-leases.one`, "");
    expect(await fired(lease.signal)).toEqual(lost);
    await using next = await mesh.lease("one", { wait: 0 });
    expect(next.token).toBeGreaterThan(lease.token);
  });
});
