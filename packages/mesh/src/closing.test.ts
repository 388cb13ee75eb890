import { agent, entity, state, topic, type Duration } from "@plexus/core";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { gate, useMeshes } from "../../../test/support/mesh.ts";
import type { MembershipChange } from "./directory.ts";
import type { Mesh } from "./mesh.ts";

const meshes = useMeshes();

const Any = { input: z.unknown(), output: z.unknown() };
const Slow = agent("slow", { capabilities: { run: Any } });
const Worker = agent("worker", { capabilities: { work: { ...Any, durable: true } } });
const Counter = entity("counter", {
  state: z.number(),
  initial: () => 0,
  commands: { read: Any },
  events: {},
  fold: {},
  partitions: 1,
});
const News = topic("news", { schema: z.unknown(), durable: true });
const Prices = state("prices", { schema: z.number() });

const closed = { code: "NOT_CONNECTED" };

describe("what is being opened while the connection closes", () => {
  const openings: [what: string, open: (mesh: Mesh) => Promise<unknown>][] = [
    ["a named subscription", (mesh) => mesh.subscribe(News, () => undefined, { name: "n" })],
    ["a replay", (mesh) => mesh.subscribe(News, () => undefined, { from: "all" })],
    ["an agent with tasks", (mesh) => mesh.host(Worker, { work: () => 1 })],
    ["an entity", (mesh) => mesh.host(Counter, { read: () => 0 })],
  ];

  test.each(openings)("%s is refused and leaves nothing behind", async (_what, open) => {
    const [mesh, witness] = [await meshes.join(), await meshes.join()];
    const release = gate();
    await mesh.host(Slow, { run: () => release.opened });
    await witness.waitFor(Slow);
    const call = witness.get(Slow).run(1);
    const { instance } = witness.agents(Slow)[0]!;
    await expect.poll(async () => (await witness.inspect(instance)).running).toBe(1);
    const opening = open(mesh);
    const closing = mesh.close(); // waits for the call
    await expect(opening).rejects.toMatchObject(closed);
    expect(witness.agents(Worker)).toEqual([]);
    expect(witness.agents(Counter)).toEqual([]);
    release.open();
    await Promise.all([call, closing]);
  });
});

describe("whoever waits for an agent", () => {
  test("is told when the connection is closed, and later that it is", async () => {
    const mesh = await meshes.join();
    const waiting = mesh.waitFor("nobody").catch((error: unknown) => error);
    await mesh.close();
    expect(await waiting).toMatchObject(closed);
    await expect(mesh.waitFor("nobody")).rejects.toMatchObject(closed);
  });

  test("may wait for longer than a timer can", async () => {
    const mesh = await meshes.join();
    const waiting = mesh.waitFor(Worker, { timeout: "60d" });
    await mesh.host(Worker, { work: () => 1 });
    await waiting;
    expect(mesh.agents(Worker)).toHaveLength(1);
  });

  test("for a time that is none does not harm those who watch", async () => {
    const [mesh, other] = [await meshes.join(), await meshes.join()];
    const never = mesh.waitFor(Worker, { timeout: "soon" as Duration });
    await expect(never).rejects.toMatchObject({ code: "INVALID_CONTRACT" });
    const seen: MembershipChange[] = [];
    mesh.watch((change) => seen.push(change));
    await other.host(Worker, { work: () => 1 });
    await mesh.waitFor(Worker);
    expect(seen).toMatchObject([{ type: "joined", instance: { agent: "worker" } }]);
  });
});

test("a subscription with an end that is none is refused when it begins, not when the connection is closed", async () => {
  const mesh = await meshes.join();
  const odd = { from: "all", drainTimeout: "later" as Duration } as const;
  const refused = mesh.subscribe(News, () => undefined, odd);
  await expect(refused).rejects.toMatchObject({ code: "INVALID_CONTRACT" });
  await mesh.close();
});

test("an end that is longer than a timer can wait is waited for", async () => {
  const [mesh, publisher] = [await meshes.join(), await meshes.join()];
  const [begun, release] = [gate(), gate()];
  const seen: unknown[] = [];
  const plain = topic("plain", { schema: z.unknown() });
  const handle = async (value: unknown) => {
    begun.open();
    await release.opened;
    seen.push(value);
  };
  const subscription = await mesh.subscribe(plain, handle, { drainTimeout: "60d" });
  await Promise.all([1, 2].map((n) => publisher.publish(plain, n))); // in one frame: if one has come, both have
  await begun.opened;
  const ended = subscription.unsubscribe();
  await meshes.join(); // longer than any timer of a millisecond
  release.open();
  await ended;
  expect([seen, subscription.lost]).toEqual([[1, 2], 0]);
});

test("what was opened before the connection was closed says at once that it is", async () => {
  const mesh = await meshes.join();
  await mesh.host(Counter, { read: () => 0 });
  const [counter, prices] = [mesh.get(Counter, "k"), mesh.state(Prices)];
  await counter.read(1);
  await prices.set("a", 1);
  await prices.get("a");
  await mesh.close();
  await expect(counter.read(1)).rejects.toMatchObject(closed);
  await expect(prices.set("a", 2)).rejects.toMatchObject(closed);
  await expect(prices.get("a")).rejects.toMatchObject(closed);
});

test("whoever waits for a lock is told when the connection is closed", async () => {
  const [holder, mesh] = [await meshes.join(), await meshes.join()];
  await using held = await holder.lock("door", { intent: "hold" });
  const waiting = mesh.lock("door", { intent: "wait" }).catch((error: unknown) => error);
  await expect.poll(async () => (await holder.locks())[0]?.waiters.length).toBe(1);
  await mesh.close();
  expect(await waiting).toMatchObject({ code: "CANCELED" });
  expect(held.held).toBe(true);
});
