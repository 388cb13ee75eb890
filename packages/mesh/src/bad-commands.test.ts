import { setTimeout as sleep } from "node:timers/promises";
import { headers } from "@nats-io/transport-node";
import { entity, partitionOf, type MeshError } from "@plexus/core";
import { expect, test } from "vitest";
import { z } from "zod";
import { Account, hostAccounts } from "../../../test/support/account.ts";
import { gate, metric, upTo, useMeshes } from "../../../test/support/mesh.ts";

const meshes = useMeshes();

const deposit = (note: string, cents = 1) => ({ cents, note });

/** A key of the same partition as another one. */
const neighbour = (key: string): string =>
  upTo(1_000)
    .map(String)
    .find((one) => partitionOf(one, Account.partitions) === partitionOf(key, Account.partitions))!;

test("a key with too many commands refuses more, and keeps no place from the other keys", async () => {
  const [host, caller] = [await meshes.join(), await meshes.join()];
  const end = gate();
  await hostAccounts(host, {
    deposit: async (input, context) => {
      if (context.key === "hot") await end.opened;
      context.emit("deposited", input);
      return context.state.cents;
    },
  });
  const cold = neighbour("hot");
  await caller.get(Account, cold).read();
  const hot = Promise.allSettled(
    upTo(1_500).map((n) => caller.get(Account, "hot").deposit(deposit(String(n)))),
  );
  await sleep(1_300); // callers have begun to ask again: that takes no place
  await caller.get(Account, cold).deposit(deposit("a"));
  end.open();
  const codes = (await hot).map((one) =>
    one.status === "fulfilled" ? "ok" : (one.reason as MeshError).code,
  );
  expect(codes.filter((code) => code === "ok")).toHaveLength(1_024);
  expect(codes.filter((code) => code === "OVERLOADED")).toHaveLength(476);
  expect((await caller.get(Account, "hot").read()).moves).toHaveLength(1_024);
});

test("a record that cannot be read makes its key unusable, and no other", async () => {
  const [host, caller, nats] = [await meshes.join(), await meshes.join(), await meshes.nats()];
  const partition = partitionOf("ada", Account.partitions);
  const bob = neighbour("ada");
  await hostAccounts(host);
  await caller.get(Account, bob).deposit(deposit("b"));
  await nats.request(`${meshes.name}.log.account.${partition}.ada`, "garbage");
  await expect(caller.get(Account, "ada").read()).rejects.toMatchObject({ code: "BAD_MESSAGE" });
  const sent = await caller.get(Account, "ada").deposit.send(deposit("a"));
  await expect(sent.result()).rejects.toMatchObject({ code: "BAD_MESSAGE" });
  await caller.get(Account, bob).deposit.send(deposit("behind it"));
  expect((await caller.get(Account, bob).read()).moves).toEqual(["b", "behind it"]);
});

test("ten thousand messages that make no sense harm nobody and are counted", async () => {
  const [host, caller, nats] = [await meshes.join(), await meshes.join(), await meshes.nats()];
  const hosted = await hostAccounts(host);
  const ada = caller.get(Account, "ada");
  await ada.deposit(deposit("a"));
  const { name } = meshes;
  const partition = partitionOf("ada", Account.partitions);
  const subjects = [
    `${name}.rpc.account.deposit.p.${partition}`,
    `${name}.rpc.account.nothing.p.${partition}`,
    `${name}.ctl.account.p.${partition}`,
    `${name}.ctl.${hosted.info.instance}`,
    `${name}.stored.cmd.account.${partition}`,
    `${name}.cmd.account.${partition}`,
    `${name}.lease.shards.account.${partition}`,
    `${name}.lease.shards.account.999`,
  ];
  const forged = headers();
  forged.set("Nats-Sequence", "12");
  for (let n = 0; n < 10_000; n++) {
    const bytes = Buffer.from(upTo(n % 40).map(() => Math.floor(Math.random() * 256)));
    const options = n % 2 === 0 ? { reply: "nowhere" } : { headers: forged };
    nats.publish(subjects[n % subjects.length]!, bytes, options);
    // As the broker takes them.
    if (n % 1_000 === 0) await nats.flush();
  }
  await nats.flush();
  const sent = await ada.deposit.send(deposit("b"));
  expect(await sent.result()).toBe(2);
  expect((await ada.read()).moves).toEqual(["a", "b"]);
  expect(await metric(host, "plexus_bad_messages_total")).toBeGreaterThan(5_000);
}, 60_000);

test("a key that nobody can load does not hold up the durable commands behind it", async () => {
  const [host, caller] = [await meshes.join(), await meshes.join()];
  const Picky = entity("picky", {
    partitions: 1,
    lease: "1s",
    state: z.number(),
    initial: (key) => (key === "bad" ? ("not a number" as unknown as number) : 0),
    events: { added: z.number() },
    fold: { added: (state, n) => state + n },
    commands: { add: { input: z.number(), output: z.number() } },
  });
  await host.host(Picky, {
    add: (n, context) => {
      context.emit("added", n);
      return context.state;
    },
  });
  const bad = await caller.get(Picky, "bad").add.send(1);
  const good = await caller.get(Picky, "good").add.send(1);
  expect(await good.result()).toBe(1);
  await expect(bad.result()).rejects.toMatchObject({ code: "INVALID_CONTRACT" });
});
