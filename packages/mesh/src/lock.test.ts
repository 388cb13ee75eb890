import { state } from "@plexus/core";
import { spawnNode } from "@plexus/testing";
import { expect, test } from "vitest";
import { z } from "zod";
import { inTurn, upTo, useMeshes } from "../../../test/support/mesh.ts";

const meshes = useMeshes();
const SLOW_MS = 60_000;

test(
  "whoever wants a lock that somebody has is told who, and what for",
  { timeout: SLOW_MS },
  async () => {
    const [one, two] = [await meshes.join({ name: "one" }), await meshes.join({ name: "two" })];
    await using held = await one.lock("Order", { intent: "rename Order.total" });
    expect(held).toMatchObject({ name: "Order", intent: "rename Order.total", held: true });
    const details = { holder: one.client, token: held.token, intent: "rename Order.total" };
    const once = two.lock("Order", { intent: "split Order", wait: 0 });
    await expect(once).rejects.toMatchObject({ code: "CONFLICT", details });
    const waiting = two.lock("Order", { intent: "split Order", wait: "500ms" });
    await expect(waiting).rejects.toMatchObject({ code: "TIMEOUT", details });
    await expect(two.lock("Order", { intent: "" })).rejects.toMatchObject({
      code: "INVALID_CONTRACT",
    });
    await using lease = await two.lease("Order", { wait: 0 });
    expect(lease.held).toBe(true); // leases have names of their own
  },
);

test(
  "those who wait get the lock in the order in which they asked, and can be seen",
  { timeout: SLOW_MS },
  async () => {
    const holder = await meshes.join();
    const others = await Promise.all(upTo(4).map(() => meshes.join()));
    const held = await holder.lock("file", { intent: "first" });
    const order: number[] = [];
    const done: Promise<void>[] = [];
    await inTurn(others, async (mesh, n) => {
      const take = async (): Promise<void> => {
        const mine = await mesh.lock("file", { intent: `work ${n}`, wait: "50s" });
        order.push(n);
        await mine.release();
      };
      done.push(take());
      await expect
        .poll(async () => (await holder.locks())[0]?.waiters.length, { timeout: 20_000 })
        .toBe(n + 1);
    });
    const [seen] = await holder.locks();
    expect(seen).toMatchObject({
      name: "file",
      holder: { client: holder.client, intent: "first", token: held.token },
    });
    expect(seen!.waiters.map(({ client, intent }) => [client, intent])).toEqual(
      others.map(({ client }, n) => [client, `work ${n}`]),
    );
    await held.release();
    await Promise.all(done);
    expect(order).toEqual([0, 1, 2, 3]);
    await expect.poll(() => holder.locks(), { timeout: 20_000 }).toEqual([]);
  },
);

test(
  "one in front who gives up or dies does not keep the others waiting for ever",
  { timeout: SLOW_MS },
  async () => {
    const [holder, quitter, patient] = [
      await meshes.join(),
      await meshes.join(),
      await meshes.join(),
    ];
    const held = await holder.lock("file", { intent: "hold" });
    const giveUp = new AbortController();
    const quitting = quitter.lock("file", { intent: "no patience", signal: giveUp.signal });
    const waiters = async (): Promise<string[]> =>
      (await holder.locks()).flatMap((lock) => lock.waiters.map(({ intent }) => intent));
    await expect.poll(waiters, { timeout: 20_000 }).toEqual(["no patience"]);
    await using dying = spawnNode(new URL("../../../test/e2e/agents/locker.ts", import.meta.url), {
      args: ["file", "about to die"],
      env: {
        PLEXUS_SERVERS: meshes.broker.url,
        PLEXUS_MESH: meshes.name,
        PLEXUS_LOG_LEVEL: "silent",
      },
    });
    await expect.poll(waiters, { timeout: 30_000 }).toEqual(["no patience", "about to die"]);
    const waiting = patient.lock("file", { intent: "patient", wait: "50s" });
    await expect.poll(waiters, { timeout: 20_000 }).toHaveLength(3);
    giveUp.abort();
    await expect(quitting).rejects.toMatchObject({ code: "CANCELED" });
    await dying.kill();
    await held.release();
    expect((await waiting).held).toBe(true);
  },
);

test(
  "what a lock's former holder still writes is refused, once its successor has written",
  { timeout: SLOW_MS },
  async () => {
    const Files = state("files", { schema: z.string() });
    const [one, two] = [await meshes.join(), await meshes.join()];
    const former = await one.lock("file", { intent: "write" });
    await one.state(Files).set("a.ts", "one", { fence: former.token });
    await former.release(); // or its lease ran out while it hung
    await using present = await two.lock("file", { intent: "write, too" });
    expect(present.token).toBeGreaterThan(former.token);
    const { revision } = (await two.state(Files).get("a.ts"))!;
    await two.state(Files).compareAndSwap("a.ts", revision, "two", { fence: present.token });
    const late = one.state(Files).set("a.ts", "late", { fence: former.token });
    await expect(late).rejects.toMatchObject({ code: "FENCED" });
    expect((await one.state(Files).get("a.ts"))!.value).toBe("two");
  },
);

test("whoever gives up before having a place leaves neither a ticket nor a subscription", async () => {
  const [holder, mesh] = [await meshes.join(), await meshes.join()];
  await using held = await holder.lock("door", { intent: "hold" });
  const subscriptions = async (): Promise<number> => {
    const answer = await fetch(`${meshes.broker.monitorUrl}/subsz`);
    return ((await answer.json()) as { num_subscriptions: number }).num_subscriptions;
  };
  const giveUp = async (): Promise<void> => {
    const leaving = new AbortController();
    const waiting = mesh.lock("door", { intent: "peep", signal: leaving.signal });
    leaving.abort();
    await expect(waiting).rejects.toMatchObject({ code: "CANCELED" });
  };
  await giveUp();
  await mesh.locks(); // everything has been opened that stays open
  const before = await subscriptions();
  await inTurn(upTo(20), giveUp);
  await expect.poll(subscriptions, { timeout: 5_000 }).toBe(before);
  const waiters = async () => (await holder.locks())[0]?.waiters;
  await expect.poll(waiters, { timeout: 5_000 }).toEqual([]);
  const aborted = AbortSignal.abort();
  const never = mesh.lock("door", { intent: "peep", signal: aborted });
  await expect(never).rejects.toMatchObject({ code: "CANCELED" });
  expect(held.held).toBe(true);
});
