import { setTimeout as sleep } from "node:timers/promises";
import { jetstreamManager } from "@nats-io/jetstream";
import { headers } from "@nats-io/transport-node";
import { MeshError, partitionOf } from "@plexus/core";
import { startProxy, type Proxy } from "@plexus/testing";
import { describe, expect, test, vi } from "vitest";
import { Account, accountHandlers, hostAccounts } from "../../../test/support/account.ts";
import { startDeposits } from "../../../test/support/deposits.ts";
import { faultsOf, readJournal } from "../../../test/support/journal.ts";
import { gate, inTurn, upTo, useMeshes } from "../../../test/support/mesh.ts";
import type { Hosted } from "./hosting.ts";
import type { Mesh } from "./mesh.ts";

const meshes = useMeshes();
const LEASE_MS = Account.leaseMs;

const deposit = (note: string, cents = 1) => ({ cents, note });

/** An instance whose network a test makes bad. */
async function hostBehindProxy(
  contract = Account,
): Promise<{ proxy: Proxy; mesh: Mesh; hosted: Hosted }> {
  const proxy = await startProxy({ target: meshes.broker.url });
  const mesh = await meshes.join({ servers: proxy.url });
  return { proxy, mesh, hosted: await mesh.host(contract, accountHandlers) };
}

/** Every key's state is what was answered, in that order, and the journal is without fault. */
async function expectExactly(mesh: Mesh, answered: Map<string, string[]>): Promise<void> {
  await inTurn(answered, async ([key, notes]) => {
    expect((await mesh.get(Account, key).read()).moves).toEqual(notes);
  });
  expect(faultsOf(await readJournal(await meshes.nats(), meshes.name))).toEqual([]);
}

/** Waits until these instances have partitions, all of them together and each its share. */
async function shared(mesh: Mesh, ...hosts: Hosted[]): Promise<void> {
  await vi.waitFor(async () => {
    const shards = await mesh.shards(Account);
    const owners = shards.filter(({ state }) => state === "held").map(({ owner }) => owner);
    expect(owners).toHaveLength(Account.partitions);
    expect(new Set(owners)).toEqual(new Set(hosts.map(({ info }) => info.instance)));
  }, 90_000);
}

const keys = upTo(24).map((n) => `key ${n}`);

describe("an owner that is cut off from the broker", () => {
  test.each(["cut", "hold"] as const)(
    "(%s) is replaced within its lease and two seconds; every command is answered and recorded once",
    async (fault) => {
      const { proxy, mesh: cutOff, hosted } = await hostBehindProxy();
      await using _ = proxy;
      const [other, caller] = [await meshes.join(), await meshes.join()];
      await shared(caller, hosted, await hostAccounts(other));
      const load = startDeposits(caller, keys);
      await sleep(300);
      await proxy[fault]();
      await vi.waitFor(async () => {
        const owners = (await caller.shards(Account)).map(({ owner }) => owner);
        expect(owners).not.toContain(hosted.info.instance);
      }, 90_000);
      await sleep(300);
      await proxy.heal();
      await expect.poll(() => cutOff.connected).toBe(true);
      await sleep(1_500); // it comes back, and is given partitions again
      const answered = await load.end();
      expect(load.longestMs).toBeLessThan(LEASE_MS + 2_000);
      await expectExactly(caller, answered);
    },
    90_000,
  );

  test("for less than its lease goes on as if nothing had been", async () => {
    const { proxy, mesh } = await hostBehindProxy({ ...Account, leaseMs: 4_000 });
    await using _ = proxy;
    const caller = await meshes.join();
    const load = startDeposits(caller, keys);
    await expect.poll(() => load.count).toBeGreaterThan(100);
    const before = await caller.shards(Account);
    await inTurn(upTo(3), async () => {
      await proxy.cut();
      await proxy.heal();
      await expect.poll(() => mesh.connected).toBe(true);
      await sleep(300);
    });
    await expectExactly(caller, await load.end());
    const epochs = (shards: typeof before) => shards.map(({ epoch }) => epoch);
    expect(epochs(await caller.shards(Account))).toEqual(epochs(before));
  }, 90_000);
});

test("records whose confirmations are lost are stored once, and keep the order of each key", async () => {
  const { proxy, mesh } = await hostBehindProxy();
  await using _ = proxy;
  const caller = await meshes.join();
  const load = startDeposits(caller, keys);
  await expect.poll(() => load.count).toBeGreaterThan(100);
  await inTurn(upTo(8), async (round) => {
    proxy.hold("toClient"); // what is written is stored, and nobody is told
    await sleep(20 + round * 10);
    await proxy.cut();
    await proxy.heal();
    await expect.poll(() => mesh.connected).toBe(true);
    await sleep(150);
  });
  await expectExactly(caller, await load.end());
}, 90_000);

test("a caller that is cut off repeats its commands, and each is recorded once", async () => {
  await using proxy = await startProxy({ target: meshes.broker.url });
  const caller = await meshes.join({ servers: proxy.url });
  await hostAccounts(await meshes.join());
  const load = startDeposits(caller, keys);
  await expect.poll(() => load.count).toBeGreaterThan(100);
  await inTurn(upTo(5), async () => {
    proxy.hold("toClient");
    await sleep(30);
    await proxy.cut();
    await proxy.heal();
    await expect.poll(() => caller.connected).toBe(true);
    await sleep(200);
  });
  await expectExactly(caller, await load.end());
}, 90_000);

test("what an owner of an older epoch writes is refused by the broker", async () => {
  const [first, caller, nats] = [await meshes.join(), await meshes.join(), await meshes.nats()];
  const ada = caller.get(Account, "ada");
  const hosted = await hostAccounts(first);
  await ada.deposit(deposit("a"));
  const partition = partitionOf("ada", Account.partitions);
  const subject = (token: string) => `${meshes.name}.log.account.${partition}.${token}`;
  const manager = await jetstreamManager(nats);
  const fence = () =>
    manager.streams.getMessage(`${meshes.name}-journal`, { last_by_subj: subject("=e") });
  /** Writes as an owner does whose fence is this one. */
  const write = async (sequence: number, token: string): Promise<unknown> => {
    const condition = headers();
    condition.set("Nats-Expected-Last-Subject-Sequence", String(sequence));
    condition.set("Nats-Expected-Last-Subject-Sequence-Subject", subject("=e"));
    const written = await nats.request(subject(token), "late", {
      headers: condition,
      timeout: 2_000,
    });
    return written.json();
  };
  const old = (await fence())!.seq;
  await hosted.drain();
  await hostAccounts(await meshes.join());
  await ada.deposit(deposit("b"));
  expect((await fence())!.seq).toBeGreaterThan(old);
  const refused = { error: { err_code: 10_071 } };
  expect(await write(old, "ada")).toMatchObject(refused);
  expect(await write(old, "=e")).toMatchObject(refused);
  expect((await ada.read()).moves).toEqual(["a", "b"]);
});

test("an owner behind whose back somebody has raised the fence begins anew, and loses nothing", async () => {
  const [host, caller, nats] = [await meshes.join(), await meshes.join(), await meshes.nats()];
  await hostAccounts(host);
  const ada = caller.get(Account, "ada");
  await ada.deposit(deposit("a"));
  const partition = partitionOf("ada", Account.partitions);
  const subject = `${meshes.name}.log.account.${partition}.=e`;
  await inTurn(upTo(5), async (n) => {
    await nats.request(subject, "not even readable");
    expect((await ada.read()).moves).toHaveLength(1 + 2 * n);
    const sent = await ada.deposit.send(deposit(`sent ${n}`));
    await ada.deposit(deposit(`direct ${n}`));
    expect(await sent.result()).toBe(2 + 2 * n);
  });
  expect((await ada.read()).moves.filter((note) => note.startsWith("sent"))).toHaveLength(5);
});

describe("durable commands", () => {
  test("of which the broker has told nobody are executed all the same", async () => {
    const [host, caller, nats] = [await meshes.join(), await meshes.join(), await meshes.nats()];
    await hostAccounts(host);
    const ada = caller.get(Account, "ada");
    await ada.deposit.send(deposit("told"));
    await ada.read();
    const manager = await jetstreamManager(nats);
    const elsewhere = { src: `${meshes.name}.cmd.>`, dest: "elsewhere.>" };
    await manager.streams.update(`${meshes.name}-commands`, { republish: elsewhere });
    await ada.deposit.send(deposit("untold"));
    expect((await ada.read()).moves).toEqual(["told", "untold"]);
    // One that is told of brings those with it that were not.
    await ada.deposit.send(deposit("untold, too"));
    const back = { src: `${meshes.name}.cmd.>`, dest: `${meshes.name}.stored.cmd.>` };
    await manager.streams.update(`${meshes.name}-commands`, { republish: back });
    const started = performance.now();
    await ada.deposit.send(deposit("told again"));
    expect((await ada.read()).moves.slice(2)).toEqual(["untold, too", "told again"]);
    expect(performance.now() - started).toBeLessThan(1_000);
  });

  test("are removed from the broker once they are executed, and only then", async () => {
    const [caller, nats] = [await meshes.join(), await meshes.nats()];
    const ada = caller.get(Account, "ada");
    await Promise.all(upTo(200).map((n) => ada.deposit.send(deposit(String(n)))));
    const manager = await jetstreamManager(nats);
    const stored = async () =>
      (await manager.streams.info(`${meshes.name}-commands`)).state.messages;
    expect(await stored()).toBe(200);
    const host = await meshes.join();
    await hostAccounts(host);
    await ada.read();
    await expect.poll(stored).toBe(0);
    expect((await ada.read()).moves).toHaveLength(200);
  });

  test("go on when somebody has deleted their stream, and so do the others", async () => {
    const [host, caller, nats] = [await meshes.join(), await meshes.join(), await meshes.nats()];
    const hosted = await hostAccounts(host);
    const ada = caller.get(Account, "ada");
    await Promise.all(upTo(100).map((n) => ada.deposit.send(deposit(String(n)))));
    await ada.read();
    const manager = await jetstreamManager(nats);
    await manager.streams.delete(`${meshes.name}-commands`);
    const sent = await ada.deposit.send(deposit("after")); // whoever sends makes it anew
    expect(await sent.result()).toBe(101);
    await hosted.drain();
    await hostAccounts(await meshes.join());
    const again = await ada.deposit.send(deposit("and after that"));
    expect(await again.result()).toBe(102);
  }, 90_000);

  test("wait while their handler fails for now, and are not repeated once it does not", async () => {
    const [host, other, caller] = [await meshes.join(), await meshes.join(), await meshes.join()];
    let failing = true;
    const handler: typeof accountHandlers.deposit = (input, context) => {
      context.emit("deposited", input);
      if (failing) throw new MeshError("OVERLOADED", "not yet");
      return context.state.cents;
    };
    const hosted = await hostAccounts(host, { deposit: handler });
    const sent = await caller.get(Account, "ada").deposit.send(deposit("a"));
    await sleep(50);
    const drained = hosted.drain(); // between two attempts
    failing = false;
    await hostAccounts(other, { deposit: handler });
    await drained;
    expect(await sent.result()).toBe(1);
    expect((await caller.get(Account, "ada").read()).moves).toEqual(["a"]);
  });
});

/** A handler that waits for a gate, and how often it was begun. */
async function waiting() {
  const [host, one, two] = [await meshes.join(), await meshes.join(), await meshes.join()];
  const end = gate();
  const began = vi.fn<(note: string) => void>();
  await hostAccounts(host, {
    deposit: async (input, context) => {
      began(input.note);
      context.emit("deposited", input);
      await end.opened;
      if (context.signal.aborted) throw context.signal.reason;
      return context.state.cents;
    },
  });
  await one.get(Account, "ada").read();
  return { one: one.get(Account, "ada"), two: two.get(Account, "ada"), end, began };
}

describe("a command that is asked for by two", () => {
  test("goes on when one of them gives up", async () => {
    const { one, two, end, began } = await waiting();
    const giveUp = new AbortController();
    const first = one.deposit(deposit("a"), { id: "same", signal: giveUp.signal });
    await expect.poll(() => began.mock.calls.length).toBe(1);
    const second = two.deposit(deposit("a"), { id: "same" });
    await sleep(100);
    giveUp.abort();
    await expect(first).rejects.toMatchObject({ code: "CANCELED" });
    await sleep(100);
    end.open();
    expect(await second).toBe(1);
    expect(began).toHaveBeenCalledTimes(1);
  });

  test("is executed for the one whose time is not over, when the other's is", async () => {
    const { one, end, began } = await waiting();
    const first = one.deposit(deposit("a"), { id: "same", timeout: 300 });
    await expect(first).rejects.toMatchObject({
      code: expect.stringMatching(/TIMEOUT|DEADLINE/) as string,
    });
    const second = one.deposit(deposit("a"), { id: "same", timeout: "10s" });
    await sleep(200);
    end.open();
    expect(await second).toBe(1);
    expect(began).toHaveBeenCalledTimes(2);
    expect((await one.read()).moves).toEqual(["a"]);
  });

  test("is not begun any more when it waits and both have given up", async () => {
    const { one, two, end, began } = await waiting();
    const before = one.deposit(deposit("before"));
    await expect.poll(() => began.mock.calls.length).toBe(1);
    const giveUp = new AbortController();
    const options = { id: "same", signal: giveUp.signal };
    const both = [one, two].map((ada) => ada.deposit(deposit("never"), options));
    await sleep(100);
    giveUp.abort();
    await Promise.allSettled(both);
    await sleep(100);
    end.open();
    await before;
    expect((await one.read()).moves).toEqual(["before"]);
    expect(began.mock.calls).toEqual([["before"]]);
  });
});

describe("draining without a broker", () => {
  test.each(["cut", "hold"] as const)(
    "(%s) ends in bounded time",
    async (fault) => {
      const { proxy, hosted } = await hostBehindProxy();
      await using _ = proxy;
      const caller = await meshes.join();
      await caller.get(Account, "ada").deposit(deposit("a"));
      await proxy[fault]();
      const started = performance.now();
      await hosted.drain();
      expect(performance.now() - started).toBeLessThan(2 * 5_000 + LEASE_MS); // registry, flush
      await hostAccounts(await meshes.join());
      expect((await caller.get(Account, "ada").read()).moves).toEqual(["a"]);
      await proxy.heal();
    },
    90_000,
  );
});
