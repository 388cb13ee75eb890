import { topic } from "@plexus/core";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { gate, inTurn, metric, upTo, useMeshes } from "../../../test/support/mesh.ts";
import type { StoredEventContext } from "./stored-event.ts";

const meshes = useMeshes();

const Numbers = topic("numbers", { schema: z.number(), durable: true });
const Fill = z.object({ account: z.string(), n: z.number() });
const Fills = topic("fills.{account}", { schema: Fill, durable: { partitions: 4 } });
const Orders = topic("orders", {
  schema: Fill,
  durable: { partitions: 3, dedupe: "1m" },
  key: ({ account }) => account,
});

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe("publishing on a durable topic", () => {
  test("stores the event before it resolves, whoever listens", async () => {
    const mesh = await meshes.join();
    await Promise.all(upTo(1_000).map((n) => mesh.publish(Numbers, n)));
    expect(await mesh.topics()).toMatchObject([
      { topic: "numbers", partitions: 1, events: 1_000, lastSequence: 1_000, keepMs: 604_800_000 },
    ]);
    expect(await metric(mesh, "plexus_events_published_total", { topic: "numbers" })).toBe(1_000);
  });

  test("keeps the order of the calls, in batches and one by one", async () => {
    const mesh = await meshes.join();
    const got: number[] = [];
    for (let n = 0; n < 2_000; n += 100) {
      // Different sizes of what is under way.
      for (let i = 0; i < 99; i++) void mesh.publish(Numbers, n + i);
      await mesh.publish(Numbers, n + 99);
    }
    const replay = await mesh.subscribe(Numbers, (n) => void got.push(n), { from: "all" });
    await replay.caughtUp;
    expect(got).toEqual(upTo(2_000));
  });

  test("stores events of the same id once, alone and in one batch, from anybody", async () => {
    const [mesh, other] = [await meshes.join(), await meshes.join()];
    await mesh.publish(Numbers, 1, { id: "one" });
    await other.publish(Numbers, 2, { id: "one" });
    await Promise.all([
      mesh.publish(Numbers, 3, { id: "three" }),
      mesh.publish(Numbers, 4, { id: "one" }),
      mesh.publish(Numbers, 5, { id: "three" }),
      mesh.publish(Numbers, 6),
      mesh.publish(Numbers, 7, { id: "seven" }),
    ]);
    const got: [number, string][] = [];
    const replay = await other.subscribe(Numbers, (n, { eventId }) => void got.push([n, eventId]), {
      from: "all",
    });
    await replay.caughtUp;
    const own = expect.stringMatching(/^[0-9A-Z]{26}$/) as string;
    expect(got).toEqual([
      [1, "one"],
      [3, "three"],
      [6, own],
      [7, "seven"],
    ]);
  });

  test("reaches ordinary subscribers of the same subjects, too", async () => {
    const [mesh, other] = [await meshes.join(), await meshes.join()];
    const all: number[] = [];
    const some: number[] = [];
    await other.subscribe(Fills, ({ n }) => void all.push(n));
    await other.subscribe(Fills, ({ n }) => void some.push(n), { where: { account: "b" } });
    await Promise.all(upTo(30).map((n) => mesh.publish(Fills, { account: "abc"[n % 3]!, n })));
    await expect.poll(() => all.length).toBe(30);
    expect(all).toEqual(upTo(30));
    expect(some).toEqual(upTo(30).filter((n) => n % 3 === 1));
  });

  test("keeps the order of what is published by several contracts of one name", async () => {
    const [mesh, other] = [await meshes.join(), await meshes.join()];
    const Same = topic("numbers", { schema: z.number(), durable: true });
    const live: number[] = [];
    const listener = await other.subscribe(Numbers, (n) => void live.push(n));
    await Promise.all(upTo(300).map((n) => mesh.publish(n % 3 ? Numbers : Same, n)));
    await expect.poll(() => live.length).toBe(300);
    expect(live).toEqual(upTo(300));
    expect(listener.lost).toBe(0);
  });

  test("refuses what is wrong", async () => {
    const mesh = await meshes.join();
    const Plain = topic("plain", { schema: z.number() });
    const invalid = { code: "INVALID_CONTRACT" };
    await expect(mesh.publish(Numbers, "x" as never)).rejects.toMatchObject({
      code: "INVALID_INPUT",
    });
    await expect(mesh.publish(Numbers, 1, { id: "a b" })).rejects.toMatchObject({
      code: "INVALID_INPUT",
    });
    await expect(mesh.publish(Plain, 1, { id: "a" })).rejects.toMatchObject(invalid);
    await expect(mesh.subscribe(Plain, () => 0, { name: "x" })).rejects.toMatchObject(invalid);
    await expect(mesh.subscribe(Plain, () => 0, { from: "all" })).rejects.toMatchObject(invalid);
    await expect(mesh.subscribe(Numbers, () => 0, { name: "a.b" })).rejects.toMatchObject(invalid);
    await expect(mesh.subscribe(Numbers, () => 0, { from: { sequence: 0 } })).rejects.toMatchObject(
      invalid,
    );
    await mesh.publish(Numbers, 1);
    const other = topic("numbers", { schema: z.number(), durable: { partitions: 2 } });
    await expect((await meshes.join()).publish(other, 1)).rejects.toMatchObject(invalid);
    const Overlapping = topic("{any}", { schema: z.object({ any: z.string() }), durable: true });
    await expect(mesh.publish(Overlapping, { any: "x" })).rejects.toMatchObject(invalid);
    await expect(mesh.topicLag("nothing")).rejects.toMatchObject({ code: "NO_TOPIC" });
    await expect(mesh.topic("nothing")).rejects.toMatchObject({ code: "NO_TOPIC" });
  });

  test("changes how long events are kept when the declaration says so", async () => {
    const mesh = await meshes.join();
    await mesh.publish(Numbers, 1);
    const longer = topic("numbers", {
      schema: z.number(),
      durable: { keep: "30d", maxBytes: 1e6 },
    });
    await (await meshes.join()).publish(longer, 2);
    expect(await mesh.topics()).toMatchObject([
      { events: 2, keepMs: 30 * 86_400_000, maxBytes: 1e6 },
    ]);
  });
});

describe("a named subscription", () => {
  test("resumes where it stopped", async () => {
    const [mesh, other] = [await meshes.join(), await meshes.join()];
    await mesh.publish(Numbers, -1);
    const got: number[] = [];
    const first = await other.subscribe(Numbers, (n) => void got.push(n), { name: "ledger" });
    await Promise.all(upTo(50).map((n) => mesh.publish(Numbers, n)));
    await expect.poll(() => got.length).toBe(50);
    await first.unsubscribe();
    await Promise.all(upTo(50).map((n) => mesh.publish(Numbers, 50 + n)));
    expect(await mesh.topicLag(Numbers)).toMatchObject([
      { subscription: "ledger", pending: 50, ackPending: 0, redelivered: 0, givenUp: 0 },
    ]);
    await meshes
      .join()
      .then((third) =>
        third.subscribe(Numbers, (n) => void got.push(n), { name: "ledger", from: "all" }),
      );
    await expect.poll(() => got.length).toBe(100);
    expect(got).toEqual(upTo(100));
    await expect.poll(() => mesh.topicLag(Numbers)).toMatchObject([{ pending: 0, ackPending: 0 }]);
  });

  test("is told what the store knows of an event", async () => {
    const mesh = await meshes.join();
    const before = Date.now();
    await mesh.publish(Orders, { account: "a", n: 1 }, { id: "order-1" });
    await mesh.publish(Orders, { account: "a", n: 2 }, { key: "c" });
    const seen: StoredEventContext[] = [];
    await mesh.subscribe(Orders, (_, context) => void seen.push(context), {
      name: "x",
      from: "all",
    });
    await expect.poll(() => seen.length).toBe(2);
    const [first] = seen.toSorted((a, b) => a.sequence - b.sequence);
    expect(first).toMatchObject({
      eventId: "order-1",
      sequence: 1,
      deliveries: 1,
      sender: mesh.client,
    });
    expect(first!.storedAt).toBeGreaterThanOrEqual(before - 1_000);
    expect(first!.storedAt).toBeLessThanOrEqual(Date.now() + 1_000);
    expect(first!.subject).toBe(`orders.p${first!.partition}`);
    expect(new Set(seen.map(({ partition }) => partition)).size).toBe(2);
  });

  test("shares the events among its members, one of a partition at a time", async () => {
    const [mesh, ...members] = await Promise.all(upTo(4).map(() => meshes.join()));
    const got: { member: number; account: string; n: number }[] = [];
    const busy = new Map<number, number>();
    let most = 0;
    await inTurn(members, (member, i) =>
      member.subscribe(
        Fills,
        async ({ account, n }, { partition }) => {
          busy.set(partition, (busy.get(partition) ?? 0) + 1);
          most = Math.max(most, ...busy.values());
          await sleep(1);
          got.push({ member: i, account, n });
          busy.set(partition, busy.get(partition)! - 1);
        },
        { name: "shared" },
      ),
    );
    const accounts = upTo(20).map((n) => `account ${n}`);
    await Promise.all(
      upTo(30).flatMap((n) => accounts.map((account) => mesh!.publish(Fills, { account, n }))),
    );
    await expect.poll(() => got.length, { timeout: 15_000 }).toBe(600);
    expect(most).toBe(1);
    for (const account of accounts) {
      expect(got.filter((one) => one.account === account).map(({ n }) => n)).toEqual(upTo(30));
    }
    for (const i of upTo(3))
      expect(got.filter(({ member }) => member === i).length).toBeGreaterThan(50);
  });

  test("delivers an event again when its handler fails, and nothing behind it before", async () => {
    const mesh = await meshes.join();
    const got: string[] = [];
    await mesh.subscribe(
      Numbers,
      (n, { deliveries }) => {
        got.push(`${n}/${deliveries}`);
        if (n === 1 && deliveries < 3) throw new Error("not yet");
      },
      { name: "retrying", retry: { first: 10, max: 20 } },
    );
    await Promise.all(upTo(3).map((n) => mesh.publish(Numbers, n)));
    await expect.poll(() => got).toEqual(["0/1", "1/1", "1/2", "1/3", "2/1"]);
    expect(await metric(mesh, "plexus_events_redelivered_total")).toBe(2);
    expect(await metric(mesh, "plexus_event_handler_errors_total")).toBe(2);
  });

  test("gives a poison event up, tells so, and goes on", async () => {
    const [mesh, nats] = [await meshes.join(), await meshes.nats()];
    const got: number[] = [];
    const options = { name: "careful", maxDeliveries: 3, retry: { first: 5, max: 10 } };
    const subscription = await mesh.subscribe(
      Numbers,
      async (n) => {
        got.push(n);
        if (n === 1) throw new Error("poison");
      },
      options,
    );
    await mesh.publish(Numbers, 0);
    await mesh.publish(Numbers, 1);
    nats.publish(`${meshes.name}.evt.numbers`, "no envelope at all");
    await nats.flush();
    await mesh.publish(Numbers, 2);
    await expect.poll(() => got).toEqual([0, 1, 1, 1, 2]);
    expect(subscription.lost).toBe(2);
    expect(
      await metric(mesh, "plexus_events_given_up_total", {
        topic: "numbers",
        subscription: "careful",
      }),
    ).toBe(2);
    expect(await mesh.topicLag("numbers")).toMatchObject([
      { subscription: "careful", pending: 0, givenUp: 2 },
    ]);
    expect(await mesh.topics()).toMatchObject([{ events: 4 }]); // what was given up is still there
  });

  test("says so when somebody publishes whose contract is not durable", async () => {
    const [mesh, other] = [await meshes.join(), await meshes.join()];
    const got: number[] = [];
    const options = { name: "strict", maxDeliveries: 1 };
    const subscription = await mesh.subscribe(Numbers, (n) => void got.push(n), options);
    const Careless = topic("numbers", { schema: z.number() });
    await Promise.all([1, 2, 3].map((n) => other.publish(Careless, n))); // one frame of three
    await expect.poll(() => subscription.lost).toBe(1);
    await mesh.publish(Numbers, 4);
    await expect.poll(() => got).toEqual([4]);
  });

  test("whose handler takes longer than the broker waits for a sign of life runs once", async () => {
    const [mesh, other] = [await meshes.join(), await meshes.join()];
    let runs = 0;
    const slow = async (): Promise<void> => {
      runs++;
      await sleep(2_000);
    };
    const options = { name: "slow", ackWait: 400 };
    await mesh.subscribe(Numbers, slow, options);
    await other.subscribe(Numbers, slow, options);
    await mesh.publish(Numbers, 1);
    await sleep(2_300);
    expect(runs).toBe(1);
    expect(await mesh.topicLag(Numbers)).toMatchObject([{ ackPending: 0, redelivered: 0 }]);
  });

  test("waits at its end for the handlers that run, and gives back what does not end", async () => {
    const [mesh, other] = [await meshes.join(), await meshes.join()];
    const got: string[] = [];
    const begun = gate();
    const first = await mesh.subscribe(
      Numbers,
      async (n, { signal }) => {
        begun.open();
        await new Promise((resolve) => {
          signal.addEventListener("abort", resolve, { once: true });
        });
        got.push(`canceled ${n}`);
      },
      { name: "ending", drainTimeout: 100 },
    );
    await mesh.publish(Numbers, 1);
    await begun.opened;
    await first.unsubscribe();
    await other.subscribe(Numbers, (n) => void got.push(`handled ${n}`), { name: "ending" });
    await expect.poll(() => got).toEqual(["canceled 1", "handled 1"]);
  });

  test("knows a topic by one number of partitions, also within one process", async () => {
    const mesh = await meshes.join();
    const Others = topic("fills.{account}", { schema: Fill, durable: { partitions: 2 } });
    await mesh.publish(Fills, { account: "a", n: 1 });
    const refused = { code: "INVALID_CONTRACT" };
    await expect(mesh.publish(Others, { account: "a", n: 2 })).rejects.toMatchObject(refused);
    await expect(mesh.subscribe(Others, () => 0, { name: "o" })).rejects.toMatchObject(refused);
    const other = await meshes.join();
    await expect(other.publish(Others, { account: "a", n: 2 })).rejects.toMatchObject(refused);
    await other.publish(Fills, { account: "a", n: 3 });
  });

  test("works on as many partitions at a time as it is told", async () => {
    const mesh = await meshes.join();
    let running = 0;
    let most = 0;
    let handled = 0;
    await mesh.subscribe(
      Fills,
      async () => {
        most = Math.max(most, ++running);
        await sleep(5);
        running--;
        handled++;
      },
      { name: "narrow", concurrency: 2 },
    );
    await Promise.all(upTo(40).map((n) => mesh.publish(Fills, { account: String(n), n })));
    await expect.poll(() => handled).toBe(40);
    expect(most).toBe(2);
  });

  test("takes only what its parameters say, and the same for every member", async () => {
    const [mesh, other] = [await meshes.join(), await meshes.join()];
    const got: number[] = [];
    await mesh.subscribe(Fills, ({ n }) => void got.push(n), {
      name: "b",
      where: { account: "b" },
    });
    await expect(
      other.subscribe(Fills, () => 0, { name: "b", where: { account: "c" } }),
    ).rejects.toMatchObject({ code: "INVALID_CONTRACT" });
    await Promise.all(upTo(30).map((n) => mesh.publish(Fills, { account: "abc"[n % 3]!, n })));
    await expect.poll(() => got).toEqual(upTo(30).filter((n) => n % 3 === 1));
  });
});
