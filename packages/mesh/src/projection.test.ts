import { journal } from "@plexus/core";
import { describe, expect, test, vi } from "vitest";
import { z } from "zod";
import { Account, hostAccounts } from "../../../test/support/account.ts";
import { inTurn, upTo, useMeshes } from "../../../test/support/mesh.ts";
import type { Mesh } from "./mesh.ts";
import type { ProjectionProgress, ProjectionSpec } from "./projection.ts";

const Moves = journal("moves", {
  events: { moved: z.object({ cents: z.number() }), noted: z.string() },
});

interface Sum {
  readonly count: number;
  readonly cents: number;
  readonly keys: Map<string, number>;
}

/** Counts and sums, and knows the last sequence of each key. */
const sum = (store: "memory" | "bucket"): ProjectionSpec<typeof Moves, Sum> => ({
  name: "sum",
  store,
  initial: () => ({ count: 0, cents: 0, keys: new Map() }),
  on: {
    moved: ({ count, cents, keys }, { data, key, sequence }) => ({
      count: count + 1,
      cents: cents + data.cents,
      keys: keys.set(key, sequence),
    }),
  },
});

vi.setConfig({ testTimeout: 60_000 });

const meshes = useMeshes();
const moved = (cents: number) => ({ type: "moved", data: { cents } }) as const;
const STORES = ["memory", "bucket"] as const;

async function fill(mesh: Mesh, count: number, keys = 5): Promise<number> {
  const moves = mesh.journal(Moves);
  const done = await Promise.all(upTo(count).map((n) => moves.append(`key ${n % keys}`, moved(1))));
  return Math.max(...done.map(({ sequence }) => sequence));
}

describe.each(STORES)("a projection in %s", (store) => {
  test("builds its state from what is stored, tells how far it is, and follows", async () => {
    const mesh = await meshes.join();
    const last = await fill(mesh, 500);
    const told: ProjectionProgress[] = [];
    await using projection = await mesh.project(Moves, {
      ...sum(store),
      onProgress: (progress) => told.push(progress),
    });
    await projection.caughtUp;
    expect(projection.state).toMatchObject({ count: 500, cents: 500 });
    expect(projection.sequence).toBe(last);
    expect(told.at(-1)).toEqual({ events: expect.any(Number) as number, sequence: last, of: last });
    await mesh.journal(Moves).append("key 1", { type: "noted", data: "no handler" });
    const { sequence } = await mesh.journal(Moves).append("key 1", moved(5));
    expect(await projection.waitFor(sequence)).toMatchObject({ count: 501, cents: 505 });
    expect(projection.state.keys.get("key 1")).toBe(sequence);
    await expect(projection.waitFor(sequence + 1, { timeout: 50 })).rejects.toMatchObject({
      code: "TIMEOUT",
    });
    const signal = AbortSignal.timeout(50);
    await expect(projection.waitFor(sequence + 1, { signal })).rejects.toMatchObject({
      code: "CANCELED",
    });
  });

  test("can be rebuilt, and tells how far that is", async () => {
    const mesh = await meshes.join();
    const last = await fill(mesh, 300);
    let faulty = true;
    await using projection = await mesh.project(Moves, {
      ...sum(store),
      on: {
        moved: (state, { data }) => ({
          ...state,
          count: state.count + (faulty ? 2 : 1),
          cents: data.cents,
        }),
      },
    });
    await projection.caughtUp;
    expect(projection.state.count).toBe(600);
    faulty = false;
    const told: number[] = [];
    await projection.rebuild({ onProgress: ({ sequence }) => told.push(sequence) });
    expect(projection.state.count).toBe(300);
    expect(told.at(-1)).toBe(last);
  });

  test("ends when it cannot go on, and says why", async () => {
    const mesh = await meshes.join();
    await fill(mesh, 10);
    const projection = await mesh.project(Moves, {
      ...sum(store),
      on: {
        moved: () => {
          throw new Error("no such thing");
        },
      },
    });
    const why = {
      code: "AGENT_FAILED",
      message: expect.stringMatching(/on\.moved failed.*Journal moves.*no such thing/) as string,
    };
    await expect(projection.ended).rejects.toMatchObject(why);
    await expect(projection.caughtUp).rejects.toMatchObject(why);
    await expect(projection.waitFor(10)).rejects.toMatchObject(why);
  });

  test("of an entity has the events of all its keys", async () => {
    const [host, mesh] = [await meshes.join(), await meshes.join()];
    await using _ = await hostAccounts(host);
    await inTurn(upTo(20), (n) =>
      mesh.get(Account, `account ${n % 4}`).deposit({ cents: n + 1, note: String(n) }),
    );
    await using projection = await mesh.project(Account, {
      name: "total",
      store,
      initial: { cents: 0, notes: 0 },
      on: {
        deposited: ({ cents, notes }, { data }) => ({
          cents: cents + data.cents,
          notes: notes + 1,
        }),
        withdrawn: ({ cents, notes }, { data }) => ({
          cents: cents - data.cents,
          notes: notes + 1,
        }),
      },
    });
    await projection.caughtUp;
    expect(projection.state).toEqual({ cents: 210, notes: 20 });
  });
});

describe("a projection that the broker keeps", () => {
  test("goes on where it was, in whichever process", async () => {
    const [one, other] = [await meshes.join(), await meshes.join()];
    await fill(one, 100);
    const first = await one.project(Moves, sum("bucket"));
    await first.caughtUp;
    await first.stop();
    await fill(one, 100);
    const told: ProjectionProgress[] = [];
    await using second = await other.project(Moves, {
      ...sum("bucket"),
      onProgress: (progress) => told.push(progress),
    });
    await second.caughtUp;
    expect(second.state.count).toBe(200);
    expect(told.at(-1)!.events).toBe(100);
  });

  test("is folded by one process at a time; the others see it, and one of them goes on", async () => {
    const [one, other] = [await meshes.join(), await meshes.join()];
    const first = await one.project(Moves, sum("bucket"));
    await first.caughtUp;
    await using second = await other.project(Moves, sum("bucket"));
    const last = await fill(one, 100);
    const states = await Promise.all([first.waitFor(last), second.waitFor(last)]);
    expect(states.map(({ count }) => count)).toEqual([100, 100]);
    await first.stop();
    expect((await second.waitFor(await fill(one, 50), { timeout: "30s" })).count).toBe(150);
    await second.rebuild();
    expect(second.state.count).toBe(150);
  });

  test("is rebuilt for whoever folds when somebody else asks for it", async () => {
    const [one, other] = [await meshes.join(), await meshes.join()];
    await using first = await one.project(Moves, sum("bucket"));
    await first.waitFor(await fill(one, 100));
    await using second = await other.project(Moves, sum("bucket"));
    await second.caughtUp;
    await second.rebuild();
    expect(second.state.count).toBe(100);
    const last = await fill(other, 10);
    expect((await first.waitFor(last)).count).toBe(110);
  });

  test("shows what is stored, whatever its handlers do with the state they are given", async () => {
    const mesh = await meshes.join();
    await using first = await mesh.project(Moves, sum("bucket"));
    await first.waitFor(await fill(mesh, 20));
    await first.stop();
    await fill(mesh, 1);
    const shown: Sum[] = [];
    await using second = await mesh.project(Moves, {
      ...sum("bucket"),
      on: {
        moved: (state) => {
          shown.push(structuredClone(second.state));
          state.keys.clear();
          return state;
        },
      },
    });
    await second.caughtUp;
    expect(shown[0]!.keys.size).toBe(5);
    expect(second.state.keys.size).toBe(0);
  });

  test("is built anew when its version changes", async () => {
    const mesh = await meshes.join();
    await fill(mesh, 20);
    const old = await mesh.project(Moves, sum("bucket"));
    await old.caughtUp;
    await old.stop();
    await using twice = await mesh.project(Moves, {
      ...sum("bucket"),
      version: 2,
      on: { moved: (state) => ({ ...state, count: state.count + 2 }) },
    });
    await twice.caughtUp;
    expect(twice.state.count).toBe(40);
  });
});

describe("compaction", () => {
  test("is refused without a projection that the broker keeps, or with one or a subscription that is not so far", async () => {
    const mesh = await meshes.join();
    const moves = mesh.journal(Moves);
    const last = await fill(mesh, 50);
    const before = { sequence: last };
    await expect(moves.compact({ before })).rejects.toMatchObject({
      code: "CONFLICT",
      retryable: false,
      message: expect.stringMatching(/Journal moves is not compacted: no projection/) as string,
    });
    const projection = await mesh.project(Moves, sum("bucket"));
    await projection.caughtUp;
    await projection.stop();
    const end = await fill(mesh, 10);
    await expect(moves.compact({ before: { sequence: end } })).rejects.toThrow(
      `projection sum is at ${last}, before ${end - 1}`,
    );
    const following = await moves.follow(() => undefined, { name: "slow", from: { sequence: 20 } });
    await following.caughtUp;
    await following.stop();
    await mesh.project(Moves, sum("bucket")).then((again) => again.waitFor(end));
    await fill(mesh, 10);
    await expect(moves.compact({ before: { sequence: end + 5 } })).rejects.toThrow(
      /subscription slow is at 60|projection sum is at/,
    );
    const count = async (): Promise<number> => {
      let events = 0;
      for await (const _ of moves.read()) events++;
      return events;
    };
    expect(await count()).toBe(70);
  });

  test("purges what is in the state, keeps where each key is, and lets the state be rebuilt", async () => {
    const mesh = await meshes.join();
    const moves = mesh.journal(Moves);
    const { sequence: idle } = await moves.append("idle", moved(1000));
    const last = await fill(mesh, 200);
    await using projection = await mesh.project(Moves, sum("bucket"));
    await projection.caughtUp;
    const { purged, before } = await moves.compact({ before: { sequence: last - 20 } });
    expect(before).toBe(last - 20);
    expect(purged).toBeGreaterThan(100);
    const left: { key: string; sequence: number }[] = [];
    for await (const event of moves.read()) left.push(event);
    expect(left).toHaveLength(201 - purged);
    const old = left.filter(({ sequence }) => sequence < before);
    expect(new Set(old.map(({ key }) => key)).size).toBe(old.length); // of each key its last one
    expect(new Set(left.map(({ key }) => key)).size).toBe(6);
    await expect(moves.append("idle", moved(1), { expected: "none" })).rejects.toMatchObject({
      code: "CONFLICT",
      details: { conflicts: [{ actual: idle }] },
    });
    const state = structuredClone(projection.state);
    await projection.rebuild();
    expect(projection.state).toEqual(state);
    const next = await moves.append("idle", moved(1), { expected: idle });
    expect((await projection.waitFor(next.sequence)).cents).toBe(1201);
    await projection.rebuild();
    expect(projection.state.cents).toBe(1201);
    const key = await moves.compact({ key: "idle", before: { time: Date.now() + 1_000 } });
    expect(key.purged).toBe(1);
    await projection.rebuild();
    expect(projection.state.cents).toBe(1201);
  });

  test("is told to who would need what is gone", async () => {
    const mesh = await meshes.join();
    const moves = mesh.journal(Moves);
    const last = await fill(mesh, 100);
    await using kept = await mesh.project(Moves, sum("bucket"));
    await using live = await mesh.project(Moves, sum("memory"));
    await Promise.all([kept.caughtUp, live.caughtUp]);
    await moves.compact({ before: { sequence: last } });
    const gone = { code: "COMPACTED", details: { before: last } };
    await expect(mesh.project(Moves, { ...sum("memory"), name: "late" })).rejects.toMatchObject(
      gone,
    );
    await expect(mesh.project(Moves, { ...sum("bucket"), name: "late" })).rejects.toMatchObject(
      gone,
    );
    await expect(mesh.project(Moves, { ...sum("bucket"), version: 2 })).rejects.toMatchObject(gone);
    expect((await live.waitFor(await fill(mesh, 10))).count).toBe(110);
    await expect(live.rebuild()).rejects.toMatchObject(gone);
    expect((await live.waitFor(await fill(mesh, 10))).count).toBe(120);
  });
});
