import { jetstreamManager } from "@nats-io/jetstream";
import { decodePayload, encodePayload, escapeKey, journal, type Journal } from "@plexus/core";
import { describe, expect, expectTypeOf, test, vi } from "vitest";
import { z } from "zod";
import { inTurn, upTo, useMeshes } from "../../../test/support/mesh.ts";
import type { JournalClient } from "./journal-client.ts";
import type { JournalEvent } from "./journal-record.ts";

const Orders = journal("orders", {
  events: {
    placed: z.object({ cents: z.number().int() }),
    shipped: z.object({ carrier: z.string() }),
    closed: z.void(),
  },
});

vi.setConfig({ testTimeout: 30_000 });

const meshes = useMeshes();

const placed = (cents: number) => ({ type: "placed", data: { cents } }) as const;
const shipped = (carrier: string) => ({ type: "shipped", data: { carrier } }) as const;

async function orders(): Promise<JournalClient<typeof Orders>> {
  return (await meshes.join()).journal(Orders);
}

async function all<J extends Journal>(
  client: JournalClient<J>,
  options = {},
): Promise<JournalEvent<J>[]> {
  const events: JournalEvent<J>[] = [];
  for await (const event of client.read(options)) events.push(event);
  return events;
}

const conflict = (details: object) =>
  expect.objectContaining({ code: "CONFLICT", details: { conflicts: [details] } }) as Error;

describe("append", () => {
  test("stores events that tell what, when, by whom and after what", async () => {
    const mesh = await meshes.join();
    const client = mesh.journal(Orders);
    const before = Date.now();
    const first = await client.append("A", placed(100), { id: "first" });
    expect(first).toEqual({ key: "A", sequence: 1, ids: ["first"] });
    await client.append("A", shipped("post"), { id: "second" });
    const [one, two] = await all(client);
    expect(one).toEqual({
      sequence: 1,
      index: 0,
      key: "A",
      type: "placed",
      version: 1,
      data: { cents: 100 },
      parents: [],
      at: expect.any(Number) as number,
      id: "first",
      by: mesh.client,
    });
    expect(Math.abs(one!.at - before)).toBeLessThan(20_000);
    expect(two).toMatchObject({ sequence: 2, type: "shipped", parents: ["first"] });
    if (two?.type === "shipped") expectTypeOf(two.data).toEqualTypeOf<{ carrier: string }>();
  });

  test("of several events is one: one sequence, all or none", async () => {
    const client = await orders();
    const appended = await client.append(
      "A",
      [placed(1), shipped("x"), { type: "closed", data: undefined }],
      {
        id: "three",
      },
    );
    expect(appended).toEqual({ key: "A", sequence: 1, ids: ["three", "three/1", "three/2"] });
    const events = await all(client);
    expect(events.map(({ sequence, index, id }) => [sequence, index, id])).toEqual([
      [1, 0, "three"],
      [1, 1, "three/1"],
      [1, 2, "three/2"],
    ]);
    expect(events[2]).toMatchObject({ data: undefined, parents: ["three/1"] });
    const bad = [placed(1), placed(1.5)];
    await expect(client.append("A", bad)).rejects.toMatchObject({ code: "INVALID_INPUT" });
    expect(await all(client)).toHaveLength(3);
  });

  test("refuses what the key's last append is not, and says what is there", async () => {
    const client = await orders();
    const { sequence } = await client.append("A", placed(1), { expected: "none", id: "a" });
    await expect(client.append("A", placed(2), { expected: "none" })).rejects.toThrow(
      conflict({ key: "A", expected: 0, actual: sequence, id: "a" }),
    );
    const next = await client.append("A", placed(3), { expected: sequence });
    await expect(client.append("A", placed(4), { expected: sequence })).rejects.toMatchObject({
      code: "CONFLICT",
      details: { conflicts: [{ actual: next.sequence }] },
    });
    await expect(client.append("B", placed(4), { expected: 7 })).rejects.toThrow(
      /"B" is at nothing, not at 7/,
    );
    expect(await all(client)).toHaveLength(2);
  });

  test("by several writers that expect the same succeeds for one of them", async () => {
    const clients = await Promise.all(upTo(4).map(() => orders()));
    let expected: number | "none" = "none";
    await inTurn(upTo(10), async (round) => {
      const writes = clients.flatMap((client) =>
        upTo(3).map(() => client.append("A", placed(round), { expected })),
      );
      const settled = await Promise.allSettled(writes);
      const won = settled.filter((outcome) => outcome.status === "fulfilled");
      expect(won).toHaveLength(1);
      const lost = settled.filter((outcome) => outcome.status === "rejected");
      for (const { reason } of lost) expect(reason).toMatchObject({ code: "CONFLICT" });
      expected = won[0]!.value.sequence;
    });
    expect((await all(clients[0]!)).map(({ data }) => (data as { cents: number }).cents)).toEqual(
      upTo(10),
    );
  });

  test("of many keeps the order of each key, and lets keys overtake each other", async () => {
    const client = await orders();
    const writes = upTo(600).map((n) => client.append(`key ${n % 3}`, placed(n)));
    await Promise.all(writes);
    const events = await all(client);
    expect(events).toHaveLength(600);
    for (const key of ["key 0", "key 1", "key 2"]) {
      const own = events.filter((event) => event.key === key);
      const numbers = own.map(({ data }) => (data as { cents: number }).cents);
      expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
      for (const [i, event] of own.entries())
        expect(event.parents).toEqual(i === 0 ? [] : [own[i - 1]!.id]);
    }
  });

  test("once, however often the same id is appended", async () => {
    const [one, other] = [await orders(), await orders()];
    const first = await one.append("A", placed(1), { id: "x" });
    expect(await other.append("A", placed(1), { id: "x" })).toEqual(first);
    await one.append("A", placed(2));
    expect(await one.append("A", placed(1), { id: "x", expected: "none" })).toEqual(first);
    const same = upTo(5).map(() => one.append("B", placed(1), { id: "x" }));
    expect(new Set((await Promise.all(same)).map(({ sequence }) => sequence)).size).toBe(1);
    expect(await all(one)).toHaveLength(3);
  });

  test("finds a repetition by what it expects when the broker has forgotten its id", async () => {
    const mesh = await meshes.join();
    const client = mesh.journal(Orders);
    await client.append("A", placed(1));
    const manager = await jetstreamManager(await meshes.nats());
    await manager.streams.update(`${meshes.name}-journal+orders`, { duplicate_window: 100e6 });
    const first = await client.append("B", placed(1), { id: "x", expected: "none" });
    await client.append("B", placed(2));
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    expect(await client.append("B", placed(1), { id: "x", expected: "none" })).toEqual(first);
    expect(await all(client)).toHaveLength(3);
  });

  test("refuses what makes no sense", async () => {
    const client = await orders();
    await expect(client.append("A", [])).rejects.toMatchObject({ code: "INVALID_INPUT" });
    await expect(client.append("A", placed(1), { id: "a b" })).rejects.toMatchObject({
      code: "INVALID_INPUT",
    });
    await expect(client.append("A", placed(1), { expected: 0 })).rejects.toMatchObject({
      code: "INVALID_INPUT",
    });
    await expect(client.append("A", shipped("x".repeat(2 ** 21)))).rejects.toMatchObject({
      code: "MESSAGE_TOO_LARGE",
    });
    const canceled = { signal: AbortSignal.abort() };
    await expect(client.append("A", placed(1), canceled)).rejects.toMatchObject({
      code: "CANCELED",
    });
    const ghost = { type: "ghost", data: 1 } as never;
    await expect(client.append("A", ghost)).rejects.toMatchObject({ code: "INVALID_CONTRACT" });
    expect(await all(client)).toEqual([]);
  });
});

describe("appendAll", () => {
  test("stores what belongs to several keys, or nothing of it", async () => {
    const client = await orders();
    const a = await client.append("A", placed(1), { expected: "none" });
    const both = await client.appendAll([
      { key: "A", events: shipped("x"), expected: a.sequence },
      { key: "B", events: [placed(2), placed(3)], expected: "none" },
    ]);
    expect(both.map(({ key, sequence }) => [key, sequence])).toEqual([
      ["A", 2],
      ["B", 3],
    ]);
    const refused = client.appendAll([
      { key: "C", events: placed(1) },
      { key: "A", events: placed(1), expected: a.sequence },
    ]);
    await expect(refused).rejects.toMatchObject({
      code: "CONFLICT",
      details: { conflicts: [{ key: "A", expected: 1, actual: 2 }] },
    });
    expect((await all(client)).map(({ key }) => key)).toEqual(["A", "A", "B", "B"]);
  });

  test("once, however often it is repeated with the same ids", async () => {
    const client = await orders();
    const either = (expected: "none" | "any") => [
      { key: `A ${expected}`, events: placed(1), id: "1", expected },
      { key: `B ${expected}`, events: placed(2), id: "2", expected },
    ];
    await inTurn(["none", "any"] as const, async (expected) => {
      const first = await client.appendAll(either(expected));
      await client.append(`B ${expected}`, placed(9));
      expect(await client.appendAll(either(expected))).toEqual(first);
    });
    expect(await all(client)).toHaveLength(6);
    const mixed = [
      { key: "A any", events: placed(1), id: "1" },
      { key: "C", events: placed(1), id: "1" },
    ];
    await expect(client.appendAll(mixed)).rejects.toMatchObject({ code: "DUPLICATE" });
  });

  test("takes 1,000 keys at most, each once", async () => {
    const client = await orders();
    const keys = upTo(1_000).map((n) => ({ key: String(n), events: placed(n) }));
    expect(await client.appendAll(keys)).toHaveLength(1_000);
    const more = [...keys, { key: "more", events: placed(0) }];
    await expect(client.appendAll(more)).rejects.toThrow(/1000 appends together, not 1001/);
    const twice = [keys[0]!, keys[0]!];
    await expect(client.appendAll(twice)).rejects.toMatchObject({ code: "INVALID_INPUT" });
  });

  test("waits for its turn behind appends of its keys, and many at a time all succeed", async () => {
    const client = await orders();
    const patient = { timeout: "60s" } as const; // a set of a key waits for the one before
    const writes = upTo(40).flatMap((n) => [
      client.append("A", placed(2 * n), patient),
      client.appendAll(
        [
          { key: "A", events: placed(2 * n + 1) },
          { key: `B ${n}`, events: placed(n) },
        ],
        patient,
      ),
    ]);
    await Promise.all(writes);
    const own = await all(client, { key: "A" });
    expect(own.map(({ data }) => (data as { cents: number }).cents)).toEqual(upTo(80));
  });
});

describe("read", () => {
  test("begins and ends where it is told to", async () => {
    const client = await orders();
    await inTurn(upTo(5), (n) => client.append(n % 2 ? "odd" : "even", placed(n)));
    await new Promise((resolve) => setTimeout(resolve, 20));
    const time = Date.now();
    await new Promise((resolve) => setTimeout(resolve, 20));
    await client.append("odd", [placed(5), placed(5)]);
    const sequences = async (options: object) =>
      (await all(client, options)).map((event) => event.sequence);
    expect(await sequences({})).toEqual([1, 2, 3, 4, 5, 6, 6]);
    expect(await sequences({ key: "odd" })).toEqual([2, 4, 6, 6]);
    expect(await sequences({ from: { sequence: 4 }, to: { sequence: 5 } })).toEqual([4, 5]);
    expect(await sequences({ from: { time } })).toEqual([6, 6]);
    expect(await sequences({ to: { time: new Date(time) } })).toEqual([1, 2, 3, 4, 5]);
    expect(await sequences({ from: { time: Date.now() + 60_000 } })).toEqual([]);
    expect(await sequences({ limit: 6, key: "odd" })).toEqual([2, 4, 6, 6]);
    expect(await sequences({ limit: 3 })).toEqual([1, 2, 3]);
    await expect(sequences({ from: "yesterday" })).rejects.toMatchObject({ code: "INVALID_INPUT" });
    await expect(sequences({ signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: "CANCELED",
    });
  });

  test("has everything that was appended before, in any number", async () => {
    const client = await orders();
    const many = upTo(3_000).map((n) => client.append(String(n % 100), placed(n)));
    await Promise.all(many);
    expect(await all(client)).toHaveLength(3_000);
    expect(await all(client, { key: "7" })).toHaveLength(30);
  });
});

describe("follow", () => {
  test("handles what is stored, then what comes, one after the other", async () => {
    const [writer, reader] = [await orders(), await orders()];
    await Promise.all(upTo(50).map((n) => writer.append("A", placed(n))));
    const seen: number[] = [];
    let busy = 0;
    const following = await reader.follow(async ({ sequence }) => {
      expect(++busy).toBe(1);
      await Promise.resolve();
      busy--;
      seen.push(sequence);
    });
    await following.caughtUp;
    expect(seen).toEqual(upTo(50).map((n) => n + 1));
    await writer.append("B", placed(1));
    await expect.poll(() => seen.length, { timeout: 20_000 }).toBe(51);
    expect(following.position).toEqual({ sequence: 51, index: 0 });
    await following.stop();
    await following.ended;
    await writer.append("B", placed(1));
    expect(seen).toHaveLength(51);
  });

  test("begins where it is told to, with one key if wanted", async () => {
    const client = await orders();
    await inTurn(upTo(6), (n) => client.append(n % 2 ? "odd" : "even", placed(n)));
    const from = async (options: object): Promise<number[]> => {
      const seen: number[] = [];
      await using following = await client.follow(({ sequence }) => seen.push(sequence), options);
      await following.caughtUp;
      return seen;
    };
    expect(await from({ from: { sequence: 3 } })).toEqual([3, 4, 5, 6]);
    expect(await from({ key: "odd" })).toEqual([2, 4, 6]);
    expect(await from({ from: "new" })).toEqual([]);
    expect(await from({ from: { time: Date.now() + 60_000 } })).toEqual([]);
  });

  test("calls a handler that fails again, and lets nothing overtake the event", async () => {
    const client = await orders();
    await client.append("A", [placed(1), placed(2)]);
    await client.append("A", placed(3));
    const tried: string[] = [];
    await using following = await client.follow(({ sequence, index }) => {
      tried.push(`${sequence}.${index}`);
      if (tried.length < 4 && index === 1) throw new Error("not yet");
    });
    await following.caughtUp;
    expect(tried).toEqual(["1.0", "1.1", "1.1", "1.1", "2.0"]);
  });

  test("makes the event that is handled a cause of what its handler appends", async () => {
    const client = await orders();
    await client.append("A", placed(1), { id: "cause" });
    await using following = await client.follow(
      async (event) => {
        if (event.key !== "A") return;
        await client.append("B", placed(2), { id: "effect" });
        await client.append("B", placed(3), { id: "later", parents: ["other"] });
      },
      { from: "all" },
    );
    await following.caughtUp;
    const [effect, later] = await all(client, { key: "B" });
    expect(effect).toMatchObject({ id: "effect", parents: ["cause"] });
    expect(later).toMatchObject({ id: "later", parents: ["other"] });
  });

  test("by name goes on where it stopped, in whichever process", async () => {
    const [one, other] = [await orders(), await orders()];
    const seen: number[] = [];
    const handler = ({ sequence }: { sequence: number }): void => void seen.push(sequence);
    await Promise.all(upTo(20).map((n) => one.append("A", placed(n))));
    const first = await one.follow(handler, { name: "ledger" });
    await first.caughtUp;
    await first.stop();
    await Promise.all(upTo(20).map((n) => one.append("A", placed(n))));
    await using second = await other.follow(handler, { name: "ledger" });
    await second.caughtUp;
    expect(seen).toEqual(upTo(40).map((n) => n + 1));
  });

  test("by name is done by one process at a time; another goes on when it dies", async () => {
    const [mesh, standby] = [await meshes.join(), await meshes.join()];
    const client = mesh.journal(Orders);
    const seen: string[] = [];
    const follow = (who: typeof mesh) =>
      who
        .journal(Orders)
        .follow(({ sequence }) => void seen.push(`${who.client} ${sequence}`), { name: "one" });
    await client.append("A", placed(1));
    const first = await follow(mesh);
    await first.caughtUp;
    await using second = await follow(standby);
    await client.append("A", placed(2));
    await expect.poll(() => seen.length, { timeout: 20_000 }).toBe(2);
    await first.stop();
    await client.append("A", placed(3));
    await expect.poll(() => seen.length, { timeout: 20_000 }).toBe(3);
    expect(seen).toEqual([`${mesh.client} 1`, `${mesh.client} 2`, `${standby.client} 3`]);
    expect(second.position.sequence).toBe(3);
  });
});

/** Writes into the bucket of positions and projections, as a process would that has the lease by now. */
async function forge(key: string, change: object): Promise<() => Promise<unknown>> {
  const nats = await meshes.nats();
  const subject = `$KV.${meshes.name}-journals.${escapeKey(key)}`;
  const { streams } = await jetstreamManager(nats);
  const last = async (): Promise<object> => {
    const found = await streams.getMessage(`KV_${meshes.name}-journals`, { last_by_subj: subject });
    return decodePayload(found!.data) as object;
  };
  const forged = { ...(await last()), token: 2 ** 52, ...change };
  await nats.request(subject, encodePayload(forged).slice());
  expect(await last()).toEqual(forged);
  return last;
}

describe("somebody who is not the holder any more", () => {
  test("does not move a named subscription", async () => {
    const client = await orders();
    await client.append("A", placed(1));
    await using following = await client.follow(() => undefined, { name: "ledger" });
    await following.caughtUp;
    const last = await forge("f.j.orders.ledger", { sequence: 77 });
    await client.append("A", placed(2));
    await expect.poll(() => following.position.sequence).toBe(2); // it has handled the event
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(await last()).toMatchObject({ sequence: 77, token: 2 ** 52 });
  });

  test("does not write a projection", async () => {
    const mesh = await meshes.join();
    const client = mesh.journal(Orders);
    await using projection = await mesh.project(Orders, {
      name: "count",
      store: "bucket",
      initial: 0,
      on: { placed: (count) => count + 1 },
    });
    const { sequence } = await client.append("A", placed(1));
    await projection.waitFor(sequence);
    const writes = Promise.all(upTo(20).map(() => client.append("A", placed(1))));
    const last = await forge("p.j.orders.count", { state: 1_000, sequence });
    await writes;
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(await last()).toMatchObject({ state: 1_000, token: 2 ** 52 });
    await expect.poll(() => projection.state).toBe(1_000); // the others see what is stored
  });
});

describe("events of older versions", () => {
  const Old = journal("prices", { events: { quoted: z.object({ euros: z.number() }) } });
  const New = journal("prices", {
    events: {
      quoted: {
        version: 3,
        schema: z.object({ cents: z.number(), currency: z.string() }),
        upcast: {
          1: ({ euros }: { euros: number }) => ({ cents: euros * 100 }),
          2: ({ cents }: { cents: number }) => {
            if (cents < 0) throw new Error("no such price");
            return { cents, currency: "EUR" };
          },
        },
      },
    },
  });

  test("are brought up to the contract's, step by step", async () => {
    const mesh = await meshes.join();
    await mesh.journal(Old).append("A", { type: "quoted", data: { euros: 5 } });
    await mesh.journal(New).append("A", { type: "quoted", data: { cents: 7, currency: "USD" } });
    const events = await all(mesh.journal(New));
    expect(events.map(({ version, data }) => ({ version, data }))).toEqual([
      { version: 1, data: { cents: 500, currency: "EUR" } },
      { version: 3, data: { cents: 7, currency: "USD" } },
    ]);
  });

  test("that cannot be brought up are refused by name", async () => {
    const mesh = await meshes.join();
    await mesh.journal(Old).append("A", { type: "quoted", data: { euros: -1 } });
    const failing = all(mesh.journal(New));
    await expect(failing).rejects.toMatchObject({
      code: "INCOMPATIBLE_EVENT",
      message: expect.stringMatching(
        /Journal prices: .*quoted of version 1.*from version 2 failed: no such price/,
      ) as string,
    });
    const following = await mesh.journal(New).follow(() => undefined);
    await expect(following.ended).rejects.toMatchObject({ code: "INCOMPATIBLE_EVENT" });
    await mesh.journal(New).append("B", { type: "quoted", data: { cents: 7, currency: "USD" } });
    const newer = all(mesh.journal(Old), { key: "B" });
    await expect(newer).rejects.toThrow(
      /quoted of version 3 cannot be read: the contract knows it up to version 1/,
    );
  });
});
