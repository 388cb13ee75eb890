import { setTimeout as sleep } from "node:timers/promises";
import { connect, type Mesh } from "@plexus/mesh";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect as connectNats } from "@nats-io/transport-node";
import { startBroker, startCluster, startProxy } from "@plexus/testing";
import { describe, expect, test, vi } from "vitest";
import { inTurn, meshName, silent, upTo, useMeshes } from "../support/mesh.ts";
import { startAgent } from "../support/workers.ts";
import { Moves, projectBalance } from "./agents/moves.ts";

vi.setConfig({ testTimeout: 120_000 });

const meshes = useMeshes();
const moved = (n: number, cents = 1) => ({ type: "moved", data: { n, cents } }) as const;

interface Move {
  readonly key: string;
  readonly sequence: number;
  readonly n: number;
  readonly cents: number;
}

async function stored(mesh: Mesh): Promise<Move[]> {
  const found: Move[] = [];
  for await (const { key, sequence, data } of mesh.journal(Moves).read()) {
    found.push({ key, sequence, ...data });
  }
  return found;
}

/** Of each key its numbers, in the order in which they are stored. */
function byKey(moves: readonly Move[]): Record<string, number[]> {
  const numbers: Record<string, number[]> = {};
  for (const { key, n } of moves) (numbers[key] ??= []).push(n);
  return numbers;
}

const complete = (keys: number, each: number) =>
  Object.fromEntries(upTo(keys).map((key) => [`key ${key}`, upTo(each)]));

/** Appends `each` numbers to each of several keys, some expecting what they saw last, while `meanwhile` breaks things. */
async function appendThrough(
  mesh: Mesh,
  keys: number,
  each: number,
  meanwhile: (n: number) => unknown,
): Promise<void> {
  const moves = mesh.journal(Moves);
  const options = { timeout: "60s" } as const;
  const careful = async (key: string): Promise<void> => {
    let expected: number | "none" = "none";
    // Each expects the one before.
    for (let n = 0; n < each; n++) {
      ({ sequence: expected } = await moves.append(key, moved(n), { expected, ...options }));
    }
  };
  const chains = upTo(keys / 2).map((key) => careful(`key ${key}`));
  const all: Promise<unknown>[] = [];
  await inTurn(upTo(each), async (n) => {
    for (let key = keys / 2; key < keys; key++)
      all.push(moves.append(`key ${key}`, moved(n), options));
    await meanwhile(n);
    await sleep(5);
  });
  await Promise.all([...all, ...chains]);
}

test("appends whose confirmations are lost are repeated, stored once, and in order", async () => {
  await using proxy = await startProxy({ target: meshes.broker.url });
  const [mesh, reader] = [await meshes.join({ servers: proxy.url }), await meshes.join()];
  await appendThrough(mesh, 6, 80, async (n) => {
    if (n % 20 !== 10) return;
    if (n % 40 === 10) proxy.hold("toClient"); // stored, and nobody is told
    await sleep(20);
    await proxy.cut();
    await proxy.heal();
  });
  expect(byKey(await stored(reader))).toEqual(complete(6, 80));
});

test("sets of appends whose confirmations are lost are stored once, and whole", async () => {
  await using proxy = await startProxy({ target: meshes.broker.url });
  const [mesh, reader] = [await meshes.join({ servers: proxy.url }), await meshes.join()];
  const moves = mesh.journal(Moves);
  const all: Promise<unknown>[] = [];
  await inTurn(upTo(60), async (n) => {
    const appends = [`a ${n % 5}`, "b", `c ${n}`].map((key) => ({ key, events: moved(n) }));
    all.push(moves.appendAll(appends, { timeout: "60s" }));
    if (n % 15 === 7) {
      if (n % 30 === 7) proxy.hold("toClient");
      await sleep(20);
      await proxy.cut();
      await proxy.heal();
    }
    await sleep(5);
  });
  await Promise.all(all);
  const found = await stored(reader);
  expect(found).toHaveLength(180);
  expect(byKey(found)["b"]).toEqual(upTo(60));
});

test("a broker that is killed and comes back loses nothing that was confirmed; followers see all of it once, in order", async () => {
  await using broker = await startBroker();
  await using stack = new AsyncDisposableStack();
  const name = meshName();
  const join = async (): Promise<Mesh> =>
    stack.use(await connect({ servers: broker.url, mesh: name, http: false, log: silent }));
  const [writer, reader] = [await join(), await join()];
  await writer.journal(Moves).append("first", moved(0));
  const seen: Move[] = [];
  const named: Move[] = [];
  const follow = (into: Move[], options: { name?: string }) =>
    reader
      .journal(Moves)
      .follow(({ key, sequence, data }) => void into.push({ key, sequence, ...data }), options);
  stack.use(await follow(seen, {}));
  stack.use(await follow(named, { name: "ledger" }));
  await using balance = await projectBalance(reader);
  await appendThrough(writer, 6, 120, async (n) => {
    if (n === 40) await broker.restart({ signal: "SIGKILL", downMs: 300 });
    if (n === 80) await broker.restart({ downMs: 300 });
  });
  const found = await stored(writer);
  const { first, ...rest } = byKey(found);
  expect(first).toEqual([0]);
  expect(rest).toEqual(complete(6, 120));
  await expect.poll(() => seen.length, { timeout: 30_000 }).toBeGreaterThanOrEqual(found.length);
  expect(seen).toEqual(found);
  await expect.poll(() => named.length, { timeout: 30_000 }).toBeGreaterThanOrEqual(found.length);
  expect(named).toEqual(found);
  const last = found.at(-1)!.sequence;
  expect((await balance.waitFor(last, { timeout: "30s" })).count).toBe(found.length);
});

test("a cluster that loses the journal's leader under load loses nothing that was confirmed, and stores none twice", async () => {
  await using cluster = await startCluster();
  await using stack = new AsyncDisposableStack();
  const name = meshName();
  const join = async (servers: readonly string[]): Promise<Mesh> =>
    stack.use(await connect({ servers, mesh: name, http: false, log: silent }));
  const [one, two, three] = cluster.urls as [string, string, string];
  const [writer, reader] = [await join([one, two, three]), await join([two, three, one])];
  await writer.journal(Moves).append("first", moved(0), { timeout: "60s" });
  const seen: Move[] = [];
  stack.use(
    await reader
      .journal(Moves)
      .follow(({ key, sequence, data }) => void seen.push({ key, sequence, ...data })),
  );
  const nats = await connectNats({ servers: [two, three] });
  stack.defer(() => nats.close());
  const manager = await jetstreamManager(nats);
  const leader = async (): Promise<string> =>
    (await manager.streams.info(`${name}-journal+moves`)).cluster?.leader ?? "";
  const former = await leader();
  expect(former).toMatch(/^plexus-[123]$/);
  await appendThrough(writer, 6, 150, (n) => {
    if (n === 50) void cluster.brokers[Number(former.at(-1)) - 1]!.kill();
  });
  expect(await leader()).not.toBe(former);
  const found = await stored(reader);
  const { first: _, ...rest } = byKey(found);
  expect(rest).toEqual(complete(6, 150));
  await expect.poll(() => seen.length, { timeout: 60_000 }).toBeGreaterThanOrEqual(found.length);
  expect(seen).toEqual(found);
  const copied = await writer.journals.import("copy", () => reader.journals.export("moves"));
  expect(copied).toEqual({ imported: found.length, events: found.length });
  expect(await reader.journals.verify("copy")).toMatchObject({ events: found.length });
});

describe("a process that is killed", () => {
  test("in the middle of appending to several keys leaves whole sets behind", async () => {
    const mesh = await meshes.join();
    await inTurn(upTo(3), async (round) => {
      await using mover = startAgent(meshes, "mover", ["transfer"]);
      await mover.waitForLine("busy", 60_000);
      await sleep(30 * round);
      await mover.kill();
    });
    await sleep(500); // what was on its way has arrived
    const found = await stored(mesh);
    expect(found.length).toBeGreaterThan(60);
    const sets = new Map<string, string[]>();
    let process = "";
    // Transfers of one process have numbers of their own; a set is stored without anything in between.
    for (const [i, { key, n }] of found.entries()) {
      if (i % 4 === 0) process = `${n} at ${found[i]!.sequence}`;
      sets.set(process, [...(sets.get(process) ?? []), `${key.split(" ")[0]} ${n}`]);
    }
    for (const [name, set] of sets) {
      const [n] = name.split(" ");
      expect(set).toEqual([`from ${n}`, `to ${n}`, `book ${n}`, `book ${n}`]);
    }
  });

  test("in the middle of a compaction takes nothing that is needed to rebuild", async () => {
    const mesh = await meshes.join();
    await using balance = await projectBalance(mesh);
    const moves = mesh.journal(Moves);
    let count = 0;
    await inTurn(upTo(5), async (round) => {
      await using compactor = startAgent(meshes, "mover", ["compact"]);
      await compactor.waitForLine("busy", 60_000);
      // It gives notice of a second, then purges 60 keys.
      const endMs = performance.now() + 1_000 + 120 * round;
      while (performance.now() < endMs) {
        // As long as it lives.
        await Promise.all(upTo(60).map((key) => moves.append(`key ${key}`, moved(count++))));
      }
      await compactor.kill();
      const { sequence } = await moves.append("last", moved(count++));
      await balance.waitFor(sequence, { timeout: "30s" });
      await balance.rebuild();
      expect(balance.state).toEqual({ count, cents: count });
    });
    await sleep(200);
    await moves.compact({ before: { time: Date.now() } });
    await balance.rebuild();
    expect(balance.state).toEqual({ count, cents: count });
    expect((await stored(mesh)).length).toBeLessThan(100); // of each key little more than its last one
  });

  test("or stands still for longer than its lease changes nothing any more when it goes on", async () => {
    const mesh = await meshes.join();
    const moves = mesh.journal(Moves);
    await using frozen = startAgent(meshes, "mover", ["project"]);
    await frozen.waitForLine("busy", 60_000);
    let count = 0;
    const append = () =>
      inTurn(upTo(40), async () => {
        await moves.append(`key ${count % 7}`, moved(count++));
      });
    await append();
    const appending = append(); // it is at work when it freezes
    await frozen.pause();
    await appending;
    await using balance = await projectBalance(mesh);
    const handled: number[] = [];
    const follow = (): ReturnType<typeof moves.follow> =>
      moves.follow(({ sequence }) => void handled.push(sequence), { name: "ledger" });
    const following = await follow();
    const { sequence } = await moves.append("last", moved(count++));
    expect((await balance.waitFor(sequence, { timeout: "60s" })).count).toBe(count);
    await following.caughtUp;
    await expect.poll(() => following.position.sequence, { timeout: 60_000 }).toBe(sequence);
    frozen.resume();
    await sleep(1_500); // what it was about to write is refused by now
    await following.stop();
    await frozen.kill();
    handled.length = 0;
    const next = await moves.append("last", moved(count++));
    await using again = await follow();
    await expect.poll(() => again.position.sequence, { timeout: 60_000 }).toBe(next.sequence);
    expect(handled).toEqual([next.sequence]);
    expect(await balance.waitFor(next.sequence, { timeout: "60s" })).toEqual({
      count,
      cents: count,
    });
  });

  test("while it projects is replaced, and every event is in the state once", async () => {
    const mesh = await meshes.join();
    const moves = mesh.journal(Moves);
    await using first = startAgent(meshes, "mover", ["project"]);
    await first.waitForLine("busy", 60_000);
    await using balance = await projectBalance(mesh);
    let count = 0;
    const append = () =>
      inTurn(upTo(40), async () => {
        await moves.append(`key ${count % 7}`, moved(count++));
      });
    await append();
    await first.kill();
    await append();
    await using third = startAgent(meshes, "mover", ["project"]);
    await third.waitForLine("busy", 60_000);
    await append();
    const { sequence } = await moves.append("last", moved(count++));
    expect(await balance.waitFor(sequence, { timeout: "60s" })).toEqual({ count, cents: count });
  });
});
