import { setTimeout as sleep } from "node:timers/promises";
import type { Mesh } from "@plexus/mesh";
import type { NodeProcess } from "@plexus/testing";
import { expect, test } from "vitest";
import { inTurn, upTo, useMeshes } from "../support/mesh.ts";
import { startAgent } from "../support/workers.ts";
import { Entries, Recorder } from "./agents/entries.ts";

const meshes = useMeshes();

const accounts = upTo(12).map((n) => `account-${n}`);

/** What was handled of each account, in the order in which it was; hosted by the test. */
class Ledger {
  readonly of = new Map(accounts.map((account) => [account, [] as number[]]));
  readonly pids = new Set<number>();
  handled = 0;

  note(account: string, n: number): void {
    this.of.get(account)!.push(n);
    this.handled++;
  }

  async host(mesh: Mesh): Promise<void> {
    await mesh.host(Recorder, {
      record: ({ account, n, pid }) => {
        this.pids.add(pid);
        this.note(account, n);
        return null;
      },
    });
  }

  /** Entries that were handled, each counted once. */
  get distinct(): number {
    return [...this.of.values()].reduce((sum, list) => sum + new Set(list).size, 0);
  }

  /** What was handled of each account in the order in which that began, an entry that is repeated at once counted once. */
  get inOrder(): number[][] {
    return [...this.of.values()].map((list) => list.filter((n, i) => n !== list[i - 1]));
  }
}

/** Every entry of every account, none after a later one. */
function complete(each: number): number[][] {
  return accounts.map(() => upTo(each));
}

async function startReaders(count: number, ms: number): Promise<NodeProcess[]> {
  const readers = upTo(count).map(() => startAgent(meshes, "reader", [String(ms)]));
  await Promise.all(readers.map((reader) => reader.waitForLine("ready", 20_000)));
  return readers;
}

/** Publishes entries of all accounts until it is told to stop; resolves with how many of each. */
function publishing(mesh: Mesh, pauseMs: number): () => Promise<number> {
  const ended = new AbortController();
  const all: Promise<void>[] = [];
  let each = 0;
  const running = (async () => {
    while (!ended.signal.aborted) {
      for (const account of accounts) {
        all.push(mesh.publish(Entries, { account, n: each }, { timeout: "30s" }));
      }
      each++;
      await sleep(pauseMs);
    }
    await Promise.all(all);
    return each;
  })();
  return () => {
    ended.abort();
    return running;
  };
}

test("a subscriber that is killed in the middle of its handlers has lost nothing", async () => {
  const mesh = await meshes.join();
  const ledger = new Ledger();
  await ledger.host(mesh);
  const [victim] = (await startReaders(1, 100)) as [NodeProcess];
  await Promise.all(
    upTo(10).flatMap((n) => accounts.map((account) => mesh.publish(Entries, { account, n }))),
  );
  await expect.poll(() => ledger.handled).toBeGreaterThan(8);
  await victim.kill();
  const atDeath = ledger.handled;
  expect(atDeath).toBeLessThan(100);
  const [heir] = (await startReaders(1, 0)) as [NodeProcess];
  await expect.poll(() => ledger.distinct, { timeout: 15_000 }).toBe(120);
  expect(ledger.inOrder).toEqual(complete(10));
  expect(ledger.handled).toBeLessThanOrEqual(120 + 4); // what was in hand, one entry of each partition
  await expect
    .poll(() => mesh.topicLag(Entries))
    .toMatchObject([{ subscription: "ledger", pending: 0, ackPending: 0, givenUp: 0 }]);
  await heir.kill("SIGTERM");
}, 60_000);

test("order of a key is kept while members of a subscription join, leave and are killed", async () => {
  const mesh = await meshes.join();
  const ledger = new Ledger();
  await ledger.host(mesh);
  const stop = publishing(mesh, 20);
  const [first, second, third] = (await startReaders(3, 1)) as [
    NodeProcess,
    NodeProcess,
    NodeProcess,
  ];
  const members = (count: number) =>
    expect.poll(() => ledger.pids.size, { timeout: 15_000 }).toBe(count);
  await members(3); // all of them take part
  await second.kill(); // with an entry in hand, most likely
  const [fourth] = (await startReaders(1, 1)) as [NodeProcess];
  await members(4);
  await first.kill("SIGTERM");
  await first.waitForLine("ended");
  const [fifth] = (await startReaders(1, 1)) as [NodeProcess];
  await members(5);
  const each = await stop();
  await expect.poll(() => ledger.distinct, { timeout: 30_000 }).toBe(each * accounts.length);
  expect(ledger.inOrder).toEqual(complete(each));
  await Promise.all([third, fourth, fifth].map((reader) => reader.kill("SIGTERM")));
}, 60_000);

test.each(["SIGKILL", "SIGTERM"] as const)(
  "a broker that ends by %s under load loses nothing that was published, nor its place",
  async (signal) => {
    const [publisher, reader] = [await meshes.join(), await meshes.join()];
    const ledger = new Ledger();
    const replayed = new Ledger();
    await reader.subscribe(Entries, ({ account, n }) => ledger.note(account, n), {
      name: "ledger",
      ackWait: 1_500,
    });
    await reader.subscribe(Entries, ({ account, n }) => replayed.note(account, n), { from: "all" });
    const stop = publishing(publisher, 3);
    await inTurn([0, 1], async () => {
      const before = ledger.handled;
      await expect.poll(() => ledger.handled, { timeout: 15_000 }).toBeGreaterThan(before + 500);
      await meshes.broker.restart({ signal, downMs: 200 });
    });
    const before = ledger.handled;
    await expect.poll(() => ledger.handled, { timeout: 15_000 }).toBeGreaterThan(before + 500);
    const each = await stop(); // none was refused
    await expect.poll(() => ledger.distinct, { timeout: 30_000 }).toBe(each * accounts.length);
    await expect.poll(() => replayed.handled, { timeout: 30_000 }).toBe(each * accounts.length);
    expect(ledger.inOrder).toEqual(complete(each));
    expect(replayed.inOrder).toEqual(complete(each));
    expect(await reader.topics()).toMatchObject([{ events: each * accounts.length }]); // none twice
    await expect
      .poll(() => reader.topicLag(Entries))
      .toMatchObject([{ pending: 0, ackPending: 0 }]);
  },
  60_000,
);

test("what is published while the broker is away is stored when it is back, in order", async () => {
  const [publisher, reader] = [await meshes.join(), await meshes.join()];
  const account = accounts[0]!;
  await publisher.publish(Entries, { account, n: 0 });
  await meshes.broker.kill();
  await expect.poll(() => publisher.connected).toBe(false);
  const waiting = upTo(200).map((n) => publisher.publish(Entries, { account, n: n + 1 }));
  await expect(
    publisher.publish(Entries, { account, n: 999 }, { timeout: 100 }),
  ).rejects.toMatchObject({ code: "NOT_CONNECTED" });
  await meshes.broker.restart();
  await Promise.all(waiting);
  const got: number[] = [];
  const replay = await reader.subscribe(Entries, ({ n }) => void got.push(n), { from: "all" });
  await replay.caughtUp;
  expect(got).toEqual(upTo(201));
});
