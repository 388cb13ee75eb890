import { topic } from "@plexus/core";
import { startProxy } from "@plexus/testing";
import { expect, test } from "vitest";
import { z } from "zod";
import { gate, inTurn, metric, upTo, useMeshes } from "../../../test/support/mesh.ts";

const meshes = useMeshes();

const Numbers = topic("numbers", { schema: z.number(), durable: true });
const Keyed = topic("keyed", {
  schema: z.object({ key: z.string(), n: z.number() }),
  durable: { partitions: 8 },
  key: ({ key }) => key,
});

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

async function storedNumbers(): Promise<number[]> {
  const reader = await meshes.join();
  const got: number[] = [];
  const replay = await reader.subscribe(Numbers, (n) => void got.push(n), { from: "all" });
  await replay.caughtUp;
  return got;
}

test("writes whose confirmations are lost are repeated, stored once, and keep their order", async () => {
  await using proxy = await startProxy({ target: meshes.broker.url });
  const mesh = await meshes.join({ servers: proxy.url });
  const live: number[] = [];
  await (await meshes.join()).subscribe(Numbers, (n) => void live.push(n));
  const published: Promise<void>[] = [];
  await inTurn(upTo(6), async (round) => {
    await inTurn(upTo(60), async (i) => {
      if (i === 40) {
        if (round % 2 === 0) proxy.hold("toClient"); // stored, and nobody is told
        await sleep(20);
        await proxy.cut();
        await proxy.heal();
      }
      for (let k = 0; k < 5; k++) published.push(mesh.publish(Numbers, published.length));
      await sleep(1);
    });
    await expect.poll(() => mesh.connected, { timeout: 10_000 }).toBe(true);
  });
  await Promise.all(published);
  expect(await storedNumbers()).toEqual(upTo(1_800));
  // Somebody who merely listens hears each once, too, though some were sent twice.
  await expect.poll(() => live.length).toBe(1_800);
  expect(live).toEqual(upTo(1_800));
});

test("a subscriber whose connection breaks goes on, and repeats nothing that it was done with", async () => {
  await using proxy = await startProxy({ target: meshes.broker.url });
  const [publisher, reader] = [await meshes.join(), await meshes.join({ servers: proxy.url })];
  const got = new Map<string, number[]>();
  let handled = 0;
  await reader.subscribe(
    Keyed,
    async ({ key, n }) => {
      await sleep(1);
      handled++;
      got.set(key, [...(got.get(key) ?? []), n]);
    },
    { name: "ledger", from: "all", ackWait: 1_000 },
  );
  const keys = upTo(16).map((n) => `key ${n}`);
  const all = upTo(100).flatMap((n) => keys.map((key) => publisher.publish(Keyed, { key, n })));
  await inTurn(upTo(3), async (round) => {
    await expect.poll(() => handled).toBeGreaterThan(100 + round * 300);
    await proxy.cut();
    await sleep(100); // handlers end meanwhile, and cannot tell
    await proxy.heal();
  });
  await Promise.all(all);
  await expect.poll(() => handled, { timeout: 15_000 }).toBe(1_600);
  for (const key of keys) expect(got.get(key)).toEqual(upTo(100));
  await expect.poll(() => publisher.topicLag(Keyed)).toMatchObject([{ pending: 0, ackPending: 0 }]);
  expect(handled).toBe(1_600);
});

test("an event that ends every process which takes it is given up without being handled again", async () => {
  const [mesh, nats] = [await meshes.join(), await meshes.nats()];
  const options = { name: "deadly", from: "all", ackWait: 300, maxDeliveries: 3 } as const;
  const first = await mesh.subscribe(Numbers, () => undefined, options);
  await first.unsubscribe();
  await mesh.publish(Numbers, 1);
  await mesh.publish(Numbers, 2);
  // Processes that take it and are never heard of again.
  const next = `$JS.API.CONSUMER.MSG.NEXT.${meshes.name}-evt-numbers.deadly+p0`;
  await inTurn(upTo(3), async () => {
    const taken = await nats.request(next, JSON.stringify({ batch: 1, expires: 2e9 }), {
      timeout: 3_000,
      noMux: true,
    });
    expect(taken.subject).toBe(`${meshes.name}.evt.numbers`);
  });
  const got: number[] = [];
  const subscription = await mesh.subscribe(Numbers, (n) => void got.push(n), options);
  await expect.poll(() => got).toEqual([2]);
  expect(subscription.lost).toBe(1);
  expect(await metric(mesh, "plexus_events_given_up_total", { subscription: "deadly" })).toBe(1);
  expect(await mesh.topicLag(Numbers)).toMatchObject([{ givenUp: 1, pending: 0 }]);
});

test("a partition whose event is retried does not hold up the others", async () => {
  const mesh = await meshes.join();
  const got: string[] = [];
  await mesh.subscribe(
    Keyed,
    ({ key, n }) => {
      if (key === "bad") throw new Error("for now");
      got.push(`${key} ${n}`);
    },
    { name: "mixed", retry: { first: "10s", max: "10s" } },
  );
  await mesh.publish(Keyed, { key: "bad", n: 0 });
  const good = ["c", "d", "e"];
  await Promise.all(good.map((key) => mesh.publish(Keyed, { key, n: 1 })));
  await expect.poll(() => got.length).toBeGreaterThan(1);
});

test("a subscription whose consumers are deleted begins again, and says so", async () => {
  const [mesh, nats] = [await meshes.join(), await meshes.nats()];
  const got: number[] = [];
  await mesh.subscribe(Numbers, (n) => void got.push(n), { name: "x", from: "all" });
  await mesh.publish(Numbers, 1);
  await expect.poll(() => got).toEqual([1]);
  await nats.request(`$JS.API.CONSUMER.DELETE.${meshes.name}-evt-numbers.x+p0`);
  await mesh.publish(Numbers, 2);
  await expect.poll(() => got.at(-1)).toBe(2);
});

test("a stream that the broker has lost is made again by whoever publishes", async () => {
  const [mesh, nats] = [await meshes.join(), await meshes.nats()];
  await mesh.publish(Numbers, 1);
  await nats.request(`$JS.API.STREAM.DELETE.${meshes.name}-evt-numbers`);
  await mesh.publish(Numbers, 2);
  expect(await storedNumbers()).toEqual([2]);
});

test("a publisher that is not stored in time is told, and nothing behind it waits", async () => {
  await using proxy = await startProxy({ target: meshes.broker.url });
  const mesh = await meshes.join({ servers: proxy.url });
  await mesh.publish(Numbers, 0);
  proxy.hold();
  const late = mesh.publish(Numbers, 1, { timeout: 200 });
  await expect(late).rejects.toMatchObject({ code: "TIMEOUT" });
  const patient = mesh.publish(Numbers, 2, { timeout: "15s" });
  await proxy.heal();
  await patient;
  expect((await storedNumbers()).filter((n) => n !== 1)).toEqual([0, 2]); // 1 may be stored
});

test("closing a connection waits until what was published is stored", async () => {
  const mesh = await meshes.join();
  const all = upTo(2_000).map((n) => mesh.publish(Numbers, n));
  await mesh.close();
  await Promise.all(all);
  expect(await storedNumbers()).toEqual(upTo(2_000));
  await expect(mesh.publish(Numbers, 1)).rejects.toMatchObject({ code: "NOT_CONNECTED" });
});

test("two members never work on one partition at a time, however long a handler takes", async () => {
  const members = await Promise.all(upTo(3).map(() => meshes.join()));
  const release = gate();
  let running = 0;
  let most = 0;
  let handled = 0;
  await inTurn(members, (member) =>
    member.subscribe(
      Numbers,
      async (n) => {
        most = Math.max(most, ++running);
        if (n === 0) await release.opened;
        running--;
        handled++;
      },
      { name: "one", from: "all", ackWait: 300 },
    ),
  );
  await inTurn(upTo(10), (n) => members[0]!.publish(Numbers, n));
  await sleep(1_000);
  expect(handled).toBe(0);
  release.open();
  await expect.poll(() => handled).toBe(10);
  expect(most).toBe(1);
});
