import { FrameWriter, KINDS, encodePayload, escapeKey, topic } from "@plexus/core";
import { startProxy } from "@plexus/testing";
import { describe, expect, expectTypeOf, test } from "vitest";
import { z } from "zod";
import { fired, gate, inTurn, metric, upTo, useMeshes } from "../../../test/support/mesh.ts";

const meshes = useMeshes({ maxPayload: 256 * 1024 });

const Ticks = topic("ticks", { schema: z.number() });
const Bars = topic("bars.{symbol}.{minutes}", {
  schema: z.object({ symbol: z.string(), minutes: z.number(), close: z.number().default(0) }),
});
const Bytes = topic("bytes", { schema: z.instanceof(Uint8Array) });

/** Waits until the subscriber has everything that was published before. */
async function settled(count: () => number, expected: number): Promise<void> {
  await expect.poll(count, { timeout: 10_000 }).toBe(expected);
}

function eventBytes(fields: { kind?: number; sender?: string; seq?: number; value?: unknown }) {
  const writer = new FrameWriter();
  writer.write({
    kind: (fields.kind ?? KINDS.event) as typeof KINDS.event,
    id: "01J00000000000000000000000",
    sender: fields.sender ?? "stranger",
    name: "ticks",
    sentAt: Date.now() * 1_000,
    payload: encodePayload(fields.value ?? 1),
    seq: fields.seq ?? 0,
  });
  return writer.take();
}

describe("topics", () => {
  test("every subscriber gets every event, with its context", async () => {
    const [publisher, one, two] = await Promise.all([meshes.join(), meshes.join(), meshes.join()]);
    const got: unknown[] = [];
    await one.subscribe(Ticks, (value, context) => {
      expectTypeOf(value).toEqualTypeOf<number>();
      got.push([1, value, context.seq, context.subject, context.sender]);
    });
    await two.subscribe(Ticks, (value) => void got.push([2, value]));
    await publisher.publish(Ticks, 7);
    await settled(() => got.length, 2);
    expect(got).toContainEqual([1, 7, 1, "ticks", publisher.client]);
    expect(got).toContainEqual([2, 7]);
  });

  test("a publisher that subscribes hears itself", async () => {
    const mesh = await meshes.join();
    const got: number[] = [];
    await mesh.subscribe(Ticks, (value) => void got.push(value));
    await mesh.publish(Ticks, 1);
    await expect.poll(() => got).toEqual([1]);
  });

  test("where selects by parameter on the broker", async () => {
    const [publisher, subscriber] = await Promise.all([meshes.join(), meshes.join()]);
    const all: string[] = [];
    const apple: number[] = [];
    const fives: string[] = [];
    await subscriber.subscribe(Bars, ({ symbol }) => void all.push(symbol));
    await subscriber.subscribe(Bars, ({ close }) => void apple.push(close), {
      where: { symbol: "AAPL" },
    });
    await subscriber.subscribe(Bars, ({ symbol }) => void fives.push(symbol), {
      where: { minutes: 5 },
    });
    for (const symbol of ["AAPL", "MSFT"]) {
      for (const minutes of [1, 5])
        void publisher.publish(Bars, { symbol, minutes, close: minutes });
    }
    await settled(() => all.length, 4);
    await settled(() => apple.length, 2);
    await settled(() => fives.length, 2);
    expect(apple).toEqual([1, 5]);
    expect(fives).toEqual(["AAPL", "MSFT"]);
    const wrong = { where: { price: 1 } as never };
    await expect(subscriber.subscribe(Bars, () => 0, wrong)).rejects.toMatchObject({
      code: "INVALID_CONTRACT",
    });
  });

  const hostile = [
    "*",
    ">",
    "a.b",
    "a b",
    "",
    "\r\nPUB x 1\r\n",
    "=2A",
    "ü☃",
    "x".repeat(500),
    ".",
  ];
  test.each(hostile)("the key %j is one token, and selects nothing but itself", async (symbol) => {
    const [publisher, subscriber] = await Promise.all([meshes.join(), meshes.join()]);
    const got: unknown[] = [];
    const subjects: string[] = [];
    await subscriber.subscribe(Bars, (bar) => void got.push(bar.symbol), { where: { symbol } });
    await subscriber.subscribe(Bars, (_bar, { subject }) => void subjects.push(subject));
    await publisher.publish(Bars, { symbol: "other", minutes: 1 });
    await publisher.publish(Bars, { symbol, minutes: 1 });
    await publisher.publish(Bars, { symbol: `${symbol}!`, minutes: 1 });
    await settled(() => subjects.length, 3);
    expect(got).toEqual([symbol]);
    expect(subjects[1]).toBe(`bars.${escapeKey(symbol)}.1`);
    expect(subjects[1]!.split(".")).toHaveLength(3);
    expect(publisher.connected && subscriber.connected).toBe(true);
  });

  test("defaults of the schema are filled in for the subscriber", async () => {
    const mesh = await meshes.join();
    const got: unknown[] = [];
    await mesh.subscribe(Bars, (bar) => void got.push(bar));
    await mesh.publish(Bars, { symbol: "A", minutes: 1 });
    await settled(() => got.length, 1);
    expect(got).toEqual([{ symbol: "A", minutes: 1, close: 0 }]);
  });

  test("an invalid value is refused at the publisher, and not sent", async () => {
    const mesh = await meshes.join();
    const got: unknown[] = [];
    await mesh.subscribe(Ticks, (value) => void got.push(value));
    await expect(mesh.publish(Ticks, "1" as unknown as number)).rejects.toMatchObject({
      code: "INVALID_INPUT",
    });
    await mesh.publish(Ticks, 2);
    await settled(() => got.length, 1);
    expect(got).toEqual([2]);
  });

  test("a value over the broker's limit is refused at the publisher", async () => {
    const mesh = await meshes.join();
    await expect(mesh.publish(Bytes, new Uint8Array(300_000))).rejects.toMatchObject({
      code: "MESSAGE_TOO_LARGE",
    });
    expect(mesh.connected).toBe(true);
  });
});

describe("subscribers", () => {
  test("events of one publisher arrive in order, one at a time", async () => {
    const [publisher, subscriber] = await Promise.all([meshes.join(), meshes.join()]);
    const got: number[] = [];
    let running = 0;
    await subscriber.subscribe(Ticks, async (value) => {
      expect(++running).toBe(1);
      if (value % 100 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
      got.push(value);
      running--;
    });
    for (let n = 0; n < 2_000; n++) void publisher.publish(Ticks, n);
    await settled(() => got.length, 2_000);
    expect(got).toEqual(Array.from({ length: 2_000 }, (_, n) => n));
  });

  test("no more events are handled at a time than the concurrency allows", async () => {
    const [publisher, subscriber] = await Promise.all([meshes.join(), meshes.join()]);
    let running = 0;
    let most = 0;
    const subscription = await subscriber.subscribe(
      Ticks,
      async () => {
        most = Math.max(most, ++running);
        await new Promise((resolve) => setTimeout(resolve, 1));
        running--;
      },
      { concurrency: 4 },
    );
    for (let n = 0; n < 200; n++) void publisher.publish(Ticks, n);
    await settled(() => subscription.received, 200);
    expect(most).toBe(4);
  });

  test("members of a group share the events, two groups do not", async () => {
    const publisher = await meshes.join();
    const shares = [0, 0, 0];
    const members = await Promise.all([meshes.join(), meshes.join(), meshes.join()]);
    await Promise.all(
      members.map((mesh, i) => mesh.subscribe(Ticks, () => void shares[i]!++, { group: "g" })),
    );
    let other = 0;
    await members[0].subscribe(Ticks, () => void other++, { group: "h" });
    await inTurn(upTo(300), async (n) => {
      await publisher.publish(Ticks, n);
      await new Promise((resolve) => setImmediate(resolve)); // a frame goes to one member as a whole
    });
    await settled(() => other, 300);
    await settled(() => shares.reduce((sum, share) => sum + share), 300);
    for (const share of shares) expect(share).toBeGreaterThan(30);
  });

  test("events beyond the queue of a slow handler are dropped and counted", async () => {
    const [publisher, subscriber] = await Promise.all([meshes.join(), meshes.join()]);
    const release = gate();
    const got: number[] = [];
    const subscription = await subscriber.subscribe(
      Ticks,
      async (value) => {
        got.push(value);
        await release.opened;
      },
      { queue: 10 },
    );
    await inTurn(upTo(100), (n) => publisher.publish(Ticks, n));
    await settled(() => subscription.lost, 89);
    expect(await metric(subscriber, "plexus_events_lost_total", { reason: "slow_consumer" })).toBe(
      89,
    );
    release.open();
    await settled(() => subscription.received, 11);
    expect(got).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  });

  test("a handler that throws is counted, and the next event is handled", async () => {
    const mesh = await meshes.join();
    const got: number[] = [];
    await mesh.subscribe(Ticks, async (value) => {
      if (value === 1) throw new Error("one");
      if (value === 2) await Promise.reject(new Error("two"));
      got.push(value);
    });
    await mesh.subscribe(Ticks, (value) => {
      if (value === 1) throw new Error("at once");
    });
    await inTurn([1, 2, 3], (value) => mesh.publish(Ticks, value));
    await settled(() => got.length, 1);
    const errors = () => metric(mesh, "plexus_event_handler_errors_total", { topic: "ticks" });
    await expect.poll(errors).toBe(3);
    expect(await metric(mesh, "plexus_bad_messages_total")).toBe(0);
  });

  test("an event outside the schema is counted at the subscriber and not handled", async () => {
    const mesh = await meshes.join();
    const nats = await meshes.nats();
    const got: number[] = [];
    await mesh.subscribe(Ticks, (value) => void got.push(value));
    const subject = `${meshes.name}.evt.ticks`;
    nats.publish(subject, eventBytes({ value: "text" }));
    nats.publish(subject, eventBytes({ kind: KINDS.request }));
    nats.publish(subject, "nonsense");
    nats.publish(subject, new Uint8Array(0));
    nats.publish(subject, eventBytes({ value: 5 }));
    await settled(() => got.length, 1);
    expect(got).toEqual([5]);
    expect(await metric(mesh, "plexus_bad_messages_total")).toBe(4);
  });

  test("numbers that are missing from a publisher's sequence are counted as lost", async () => {
    const mesh = await meshes.join();
    const nats = await meshes.nats();
    const subscription = await mesh.subscribe(Ticks, () => undefined);
    const subject = `${meshes.name}.evt.ticks`;
    for (const seq of [5, 6, 10, 11, 1, 2]) nats.publish(subject, eventBytes({ seq }));
    for (const seq of [1, 4]) nats.publish(subject, eventBytes({ seq, sender: "another" }));
    await settled(() => subscription.received, 8);
    expect(subscription.lost).toBe(3 + 2); // 7 8 9; 2 3; a sequence that starts again is a restart, not a loss
    expect(await metric(mesh, "plexus_events_lost_total", { reason: "gap" })).toBe(5);
  });

  test("unsubscribing handles what has arrived, then nothing more", async () => {
    const [publisher, subscriber] = await Promise.all([meshes.join(), meshes.join()]);
    const got: number[] = [];
    const subscription = await subscriber.subscribe(Ticks, async (value) => {
      await new Promise((resolve) => setImmediate(resolve));
      got.push(value);
    });
    for (let n = 0; n < 100; n++) void publisher.publish(Ticks, n);
    await settled(() => Math.min(got.length, 1), 1);
    await Promise.all([subscription.unsubscribe(), subscription.unsubscribe()]);
    const handled = got.length;
    await publisher.publish(Ticks, 1_000);
    expect(got).toHaveLength(handled);
    expect(got).not.toContain(1_000);
  });

  test("a handler that never ends does not hold up the end of its subscription", async () => {
    const mesh = await meshes.join();
    const began = gate();
    let signal: AbortSignal | undefined;
    const subscription = await mesh.subscribe(
      Ticks,
      async (_value, context) => {
        signal = context.signal;
        began.open();
        await fired(context.signal);
        await new Promise(() => undefined);
      },
      { drainTimeout: 50 },
    );
    await inTurn([1, 2, 3], (value) => mesh.publish(Ticks, value));
    await began.opened;
    await settled(() => subscription.received, 1);
    await mesh.publish(Ticks, 4);
    await subscription.unsubscribe();
    expect(signal?.aborted).toBe(true);
    expect(await metric(mesh, "plexus_events_lost_total", { reason: "shutdown" })).toBeGreaterThan(
      1,
    );
  });

  test("a group or option that is malformed is refused, and leaves nothing behind", async () => {
    const mesh = await meshes.join();
    await inTurn(["a.b", "", "*", "a b", "\r\n"], (group) =>
      expect(mesh.subscribe(Ticks, () => 0, { group })).rejects.toMatchObject({
        code: "INVALID_CONTRACT",
      }),
    );
    await expect(mesh.subscribe(Ticks, () => 0, { concurrency: 0 })).rejects.toMatchObject({
      code: "INVALID_CONTRACT",
    });
    expect(mesh.connected).toBe(true);
  });
});

describe("back-pressure", () => {
  test("publishing waits for a broker that does not read, and nothing is lost", async () => {
    await using proxy = await startProxy({ target: meshes.broker.url });
    const publisher = await meshes.join({ servers: proxy.url });
    const subscriber = await meshes.join();
    const subscription = await subscriber.subscribe(Bytes, () => undefined);
    const value = new Uint8Array(64 * 1024);
    proxy.hold("toTarget");
    let published = 0;
    const total = 320; // 20 MiB
    const publishing = (async () => {
      await inTurn(upTo(total), async () => {
        await publisher.publish(Bytes, value);
        published++;
      });
    })();
    await expect.poll(() => published, { timeout: 5_000 }).toBeGreaterThan(10);
    const stuck = async () => {
      const before = published;
      await new Promise((resolve) => setTimeout(resolve, 100));
      return published === before;
    };
    await expect.poll(stuck, { timeout: 5_000 }).toBe(true);
    expect(published * value.length).toBeLessThan(9 * 1024 * 1024); // it waits at 8 MiB
    await proxy.heal();
    await publishing;
    await settled(() => subscription.received, total);
    expect(subscription.lost).toBe(0);
  });

  test("a publisher that does not wait is refused with OVERLOADED before memory runs out", async () => {
    await using proxy = await startProxy({ target: meshes.broker.url });
    const publisher = await meshes.join({ servers: proxy.url });
    proxy.hold("toTarget");
    const value = new Uint8Array(128 * 1024);
    const outcomes: Promise<unknown>[] = [];
    for (let n = 0; n < 1_000; n++) {
      outcomes.push(publisher.publish(Bytes, value).catch((error: unknown) => error));
    }
    expect(await outcomes.at(-1)).toMatchObject({ code: "OVERLOADED", retryable: true });
    await proxy.heal();
    const settledAll = await Promise.all(outcomes);
    const accepted = settledAll.filter((outcome) => outcome === undefined).length;
    expect(accepted * value.length).toBeGreaterThan(32 * 1024 * 1024);
    expect(accepted * value.length).toBeLessThan(72 * 1024 * 1024);
  });

  test("publishing without a connection is NOT_CONNECTED and counted", async () => {
    await using proxy = await startProxy({ target: meshes.broker.url });
    const publisher = await meshes.join({ servers: proxy.url });
    await proxy.cut();
    await expect.poll(() => publisher.connected).toBe(false);
    await expect(publisher.publish(Ticks, 1)).rejects.toMatchObject({
      code: "NOT_CONNECTED",
      retryable: true,
    });
    const lost = { topic: "ticks", reason: "not_connected" };
    expect(await metric(publisher, "plexus_events_lost_total", lost)).toBe(1);
    await proxy.heal();
    await expect.poll(() => publisher.connected, { timeout: 10_000 }).toBe(true);
    await publisher.publish(Ticks, 2);
  });

  test("what is lost on a broken connection shows at the subscriber as a gap", async () => {
    await using proxy = await startProxy({ target: meshes.broker.url });
    const publisher = await meshes.join();
    const subscriber = await meshes.join({ servers: proxy.url });
    const subscription = await subscriber.subscribe(Ticks, () => undefined);
    await publisher.publish(Ticks, 1);
    await settled(() => subscription.received, 1);
    await proxy.cut();
    await expect.poll(() => subscriber.connected).toBe(false);
    await inTurn([2, 3, 4], (value) => publisher.publish(Ticks, value));
    await proxy.heal();
    await expect.poll(() => subscriber.connected, { timeout: 10_000 }).toBe(true);
    await publisher.publish(Ticks, 5);
    await settled(() => subscription.received, 2);
    expect(subscription.lost).toBe(3);
  });
});
