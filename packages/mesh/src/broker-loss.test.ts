import { journal, topic } from "@plexus/core";
import { startBroker, startProxy, type Broker } from "@plexus/testing";
import { expect, test } from "vitest";
import { z } from "zod";
import { Account, hostAccounts } from "../../../test/support/account.ts";
import { silent } from "../../../test/support/mesh.ts";
import { connect, type Mesh } from "./mesh.ts";

const News = topic("news", { schema: z.number(), durable: true });
const Diary = journal("diary", { events: { noted: z.number() } });
const Large = journal("diary", { events: { noted: z.object({ n: z.number(), pad: z.string() }) } });
const pad = "x".repeat(400_000);
const SLOW = { timeout: 20_000 };

const join = (broker: Broker): Promise<Mesh> =>
  connect({ servers: broker.url, mesh: "m", http: false, log: silent });

test("what follows the store goes on after a while in which the broker had no JetStream", async () => {
  await using broker = await startBroker();
  await using mesh = await join(broker);
  const [replayed, followed]: [number[], number[]] = [[], []];
  await mesh.subscribe(News, (n) => void replayed.push(n), { from: "all" });
  await mesh.journal(Diary).follow(({ data }) => void followed.push(data));
  const on = { noted: (sum: number, { data }: { data: number }) => sum + data };
  const sum = await mesh.project(Diary, { name: "sum", initial: 0, on });
  const go = async (n: number): Promise<void> => {
    await mesh.publish(News, n);
    await mesh.journal(Diary).append("k", { type: "noted", data: n });
  };
  await go(1);
  await expect.poll(() => [replayed, followed, sum.state], SLOW).toEqual([[1], [1], 1]);
  await broker.stop();
  const bare = await startBroker({ port: broker.port, jetstream: false });
  await expect.poll(() => mesh.connected, SLOW).toBe(true);
  const refused = mesh.publish(News, 0, { timeout: "1s" }); // it is noticed by then
  await expect(refused).rejects.toMatchObject({ code: "NOT_CONNECTED" });
  await bare[Symbol.asyncDispose]();
  await broker.restart();
  await expect.poll(() => mesh.connected, SLOW).toBe(true);
  await go(2);
  await expect.poll(() => [replayed, followed, sum.state], SLOW).toEqual([[1, 2], [1, 2], 3]);
}, 60_000);

test("what follows a journal begins anew when the broker has lost its disk, and so does the state of it", async () => {
  const broker = await startBroker();
  const mesh = await join(broker);
  const [named, unnamed]: [number[], number[]] = [[], []];
  const diary = mesh.journal(Diary);
  await diary.follow(({ data }) => void named.push(data), { name: "reader" });
  await diary.follow(({ data }) => void unnamed.push(data));
  const on = { noted: (sum: number, { data }: { data: number }) => sum + data };
  const kept = await mesh.project(Diary, { name: "sum", initial: 0, on, store: "bucket" });
  const held = await mesh.project(Diary, { name: "sum", initial: 0, on });
  const seen = () => ({ named, unnamed, kept: kept.state, held: held.state });
  for (const data of [1, 2, 3]) await diary.append("k", { type: "noted", data });
  const before = [1, 2, 3];
  const expected = { named: before, unnamed: before, kept: 6, held: 6 };
  await expect.poll(seen, SLOW).toEqual(expected);
  await broker[Symbol.asyncDispose]();
  await using empty = await startBroker({ port: broker.port });
  expect(empty.url).toBe(broker.url);
  await expect.poll(() => mesh.connected, SLOW).toBe(true);
  await diary.append("k", { type: "noted", data: 40 }, { timeout: "20s" });
  const all = [1, 2, 3, 40];
  await expect.poll(seen, SLOW).toEqual({ named: all, unnamed: all, kept: 40, held: 40 });
  await mesh.close();
}, 60_000);

test.each(["follow", "memory", "bucket"] as const)(
  "who was still reading (%s) when the broker lost its disk has caught up with what is left",
  async (reader) => {
    const broker = await startBroker();
    await using proxy = await startProxy({ target: broker.url });
    const [writer, mesh] = [await join(broker), await join({ ...broker, url: proxy.url })];
    const diary = writer.journal(Large);
    const [old, held] = [80, 2]; // 32 MB: more than is on its way at once
    for (let n = 0; n < old; n++) await diary.append("k", { type: "noted", data: { n, pad } });
    const read: number[] = [];
    const note = ({ data: { n } }: { data: { n: number } }): void => {
      read.push(n);
      if (read.length === held) proxy.hold("toClient");
    };
    const on = {
      noted: (count: number, event: { data: { n: number } }) => (note(event), count + 1),
    };
    const store = reader === "bucket" ? "bucket" : "memory";
    const following =
      reader === "follow"
        ? await mesh.journal(Large).follow(note)
        : await mesh.project(Large, { name: "count", initial: 0, on, store });
    await expect.poll(() => read.length, SLOW).toBeGreaterThanOrEqual(held);
    await broker[Symbol.asyncDispose]();
    await using empty = await startBroker({ port: broker.port });
    expect(empty.url).toBe(broker.url);
    await proxy.heal();
    await diary.append("k", { type: "noted", data: { n: 1_000, pad: "" } }, { timeout: "20s" });
    await expect.poll(() => read.at(-1), SLOW).toBe(1_000);
    expect(read.length).toBeLessThan(old);
    await following.caughtUp;
    await mesh.close();
    await writer.close();
  },
  60_000,
);

test("entities go on, from the beginning, when the broker has lost its disk", async () => {
  const broker = await startBroker();
  const mesh = await join(broker);
  await hostAccounts(mesh);
  const ada = mesh.get(Account, "ada");
  const [deposit, options] = [{ cents: 5, note: "a" }, { timeout: 20_000 }];
  const sent = await ada.deposit.send(deposit);
  expect(await sent.result(options)).toBe(5);
  expect(await ada.deposit(deposit)).toBe(10);
  await broker[Symbol.asyncDispose]();
  await using empty = await startBroker({ port: broker.port });
  expect(empty.url).toBe(broker.url);
  await expect.poll(() => mesh.connected, SLOW).toBe(true);
  expect(await ada.deposit(deposit, options)).toBe(5); // behind a command that is lost
  const again = await ada.deposit.send(deposit);
  expect(await again.result(options)).toBe(10);
  await mesh.close();
}, 60_000);
