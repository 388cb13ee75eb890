import { topic } from "@plexus/core";
import { expect, test } from "vitest";
import { z } from "zod";
import { gate, inTurn, metric, upTo, useMeshes } from "../../../test/support/mesh.ts";
import type { From } from "./nats/topic-store.ts";

const meshes = useMeshes();

const Numbers = topic("numbers", { schema: z.number(), durable: true });
const Tick = z.object({ symbol: z.string(), n: z.number() });
const Ticks = topic("ticks.{symbol}", { schema: Tick, durable: { partitions: 4 } });

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

test("a replay reads all that is stored, in order, then what is published", async () => {
  const [mesh, reader] = [await meshes.join(), await meshes.join()];
  await Promise.all(upTo(3_000).map((n) => mesh.publish(Numbers, n)));
  const got: number[] = [];
  const replay = await reader.subscribe(Numbers, (n) => void got.push(n), { from: "all" });
  await replay.caughtUp;
  expect(got).toEqual(upTo(3_000));
  await Promise.all(upTo(100).map((n) => mesh.publish(Numbers, 3_000 + n)));
  await expect.poll(() => got.length).toBe(3_100);
  expect(got).toEqual(upTo(3_100));
  expect(replay.received).toBe(3_100);
});

test("a replay begins at a sequence, at a time, or with what is new", async () => {
  const mesh = await meshes.join();
  await inTurn(upTo(5), (n) => mesh.publish(Numbers, n));
  await sleep(50);
  const time = Date.now();
  await sleep(50);
  await inTurn(upTo(5), (n) => mesh.publish(Numbers, 5 + n));
  const read = async (from: From): Promise<number[]> => {
    const got: number[] = [];
    await using replay = await mesh.subscribe(Numbers, (n) => void got.push(n), { from });
    await replay.caughtUp;
    return got;
  };
  expect(await read("all")).toEqual(upTo(10));
  expect(await read({ sequence: 8 })).toEqual([7, 8, 9]);
  expect(await read({ sequence: 800 })).toEqual([]);
  expect(await read({ time })).toEqual([5, 6, 7, 8, 9]);
  expect(await read({ time: new Date(time) })).toEqual([5, 6, 7, 8, 9]);
  expect(await read("new")).toEqual([]);
});

test("a replay of nothing has caught up at once", async () => {
  const mesh = await meshes.join();
  const replay = await mesh.subscribe(Numbers, () => undefined, { from: "all" });
  await replay.caughtUp;
  expect(replay.received).toBe(0);
});

test("a replay selects by parameter, over all partitions, each key in order", async () => {
  const mesh = await meshes.join();
  await Promise.all(upTo(200).map((n) => mesh.publish(Ticks, { symbol: `S${n % 20}`, n })));
  const got: number[] = [];
  const options = { from: "all", where: { symbol: "S7" } } as const;
  const replay = await mesh.subscribe(Ticks, ({ n }) => void got.push(n), options);
  await replay.caughtUp;
  expect(got).toEqual(upTo(10).map((n) => 7 + n * 20));
});

test("a replay waits for a slow handler, and outlives one that throws", async () => {
  const mesh = await meshes.join();
  await Promise.all(upTo(1_500).map((n) => mesh.publish(Numbers, n)));
  const held = gate();
  const got: number[] = [];
  const replay = await mesh.subscribe(
    Numbers,
    async (n) => {
      if (n === 0) await held.opened;
      got.push(n);
      if (n === 1) throw new Error("one");
    },
    { from: "all" },
  );
  await sleep(200);
  expect(got).toEqual([]);
  held.open();
  await replay.caughtUp;
  expect(got).toEqual(upTo(1_500));
  expect(await metric(mesh, "plexus_event_handler_errors_total")).toBe(1);
});

test("a replay takes nothing from a named subscription, and leaves nothing behind", async () => {
  const mesh = await meshes.join();
  await mesh.subscribe(Numbers, () => undefined, { name: "own" });
  await Promise.all(upTo(10).map((n) => mesh.publish(Numbers, n)));
  const replay = await mesh.subscribe(Numbers, () => undefined, { from: "all" });
  await replay.caughtUp;
  expect(await mesh.topics()).toMatchObject([{ consumers: 2 }]);
  await replay.unsubscribe();
  expect(await mesh.topics()).toMatchObject([{ consumers: 1 }]);
  expect(await mesh.topicLag(Numbers)).toMatchObject([{ subscription: "own", pending: 0 }]);
});

test("a replay goes on where it was when its consumer vanishes", async () => {
  const [mesh, nats] = [await meshes.join(), await meshes.nats()];
  await Promise.all(upTo(100).map((n) => mesh.publish(Numbers, n)));
  const got: number[] = [];
  const replay = await mesh.subscribe(Numbers, (n) => void got.push(n), { from: "all" });
  await replay.caughtUp;
  const stream = `${meshes.name}-evt-numbers`;
  const list = await nats.request(`$JS.API.CONSUMER.NAMES.${stream}`);
  const { consumers } = list.json<{ consumers: string[] }>();
  await nats.request(`$JS.API.CONSUMER.DELETE.${stream}.${consumers[0]}`);
  await Promise.all(upTo(100).map((n) => mesh.publish(Numbers, 100 + n)));
  await expect.poll(() => got.length).toBe(200);
  expect(got).toEqual(upTo(200));
});

test("a topic can be read without its contract", async () => {
  const [mesh, stranger] = [await meshes.join(), await meshes.join()];
  const limited = topic("odd.{symbol}", {
    schema: Tick,
    durable: { partitions: 2, maxBytes: 100_000, keep: "1h" },
  });
  await mesh.publish(limited, { symbol: "A", n: 1 });
  const found = await stranger.topic("odd.{symbol}");
  const got: unknown[] = [];
  const replay = await stranger.subscribe(found, (value) => void got.push(value), { from: "all" });
  await replay.caughtUp;
  expect(got).toEqual([{ symbol: "A", n: 1 }]);
  expect(await mesh.topics()).toMatchObject([{ maxBytes: 100_000, keepMs: 3_600_000 }]);
});
