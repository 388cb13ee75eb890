import { connect } from "@plexus/mesh";
import { startBroker, type Broker } from "@plexus/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { silent } from "../../../test/support/mesh.ts";
import type { Entry, Fleet } from "./fleet.ts";
import { localFleet } from "./local-fleet.ts";

let broker: Broker;
let names = 0;

beforeAll(async () => {
  broker = await startBroker();
});
afterAll(() => broker[Symbol.asyncDispose]());

const fleets: Record<string, () => Promise<Fleet & AsyncDisposable>> = {
  "in one process": async () => ({ ...localFleet(), [Symbol.asyncDispose]: async () => undefined }),
  "of a mesh": () =>
    connect({ servers: broker.url, mesh: `m${++names}`, http: false, log: silent }),
};

const conflict = { code: "CONFLICT" };

describe.each(Object.entries(fleets))("a fleet %s", (_name, open) => {
  describe.each(["file", "memory"] as const)("has buckets (%s)", (storage) => {
    test("that keep what is put, under keys of any kind", async () => {
      await using fleet = await open();
      const bucket = fleet.bucket("b", { storage });
      const value = { text: "x", list: [1, null, { deep: Infinity }] };
      const revision = await bucket.put("a.b/c d€", value);
      expect(await bucket.get("a.b/c d€")).toEqual({ key: "a.b/c d€", value, revision });
      expect(await bucket.get("other")).toBeUndefined();
      expect(await bucket.keys()).toEqual(["a.b/c d€"]);
    });

    test("that do not mix up what is put at the same time", async () => {
      await using fleet = await open();
      const bucket = fleet.bucket("b", { storage });
      const values = Array.from({ length: 50 }, (_, n) => ({ n, text: "x".repeat(n * 10) }));
      await Promise.all(values.map((value) => bucket.put(`k${value.n}`, value)));
      const found = await Promise.all(values.map(({ n }) => bucket.get(`k${n}`)));
      expect(found.map((entry) => entry!.value)).toEqual(values);
    });

    test("in which one of several concurrent writers of the same revision wins", async () => {
      await using fleet = await open();
      const bucket = fleet.bucket("b", { storage });
      const put = (value: number, revision: number) => bucket.put("k", value, { revision });
      const first = await Promise.allSettled([put(1, 0), put(2, 0), put(3, 0)]);
      const won = first.filter((one) => one.status === "fulfilled");
      expect(won).toHaveLength(1);
      const { revision } = (await bucket.get("k"))!;
      expect(won[0]).toHaveProperty("value", revision);
      await expect(put(4, revision - 1)).rejects.toMatchObject(conflict);
      await expect(put(4, 0)).rejects.toMatchObject(conflict);
      expect(await put(4, revision)).toBeGreaterThan(revision);
      expect((await bucket.get("k"))!.value).toBe(4);
    });

    test("from which values are removed, and may be put again as new ones", async () => {
      await using fleet = await open();
      const bucket = fleet.bucket("b", { storage });
      const first = await bucket.put("k", "one");
      const removed = await bucket.put("k", undefined, { revision: first });
      expect(removed).toBeGreaterThan(first);
      expect(await bucket.get("k")).toBeUndefined();
      expect(await bucket.keys()).toEqual([]);
      expect(await bucket.put("k", "two", { revision: 0 })).toBeGreaterThan(removed);
      await expect(bucket.put("k", "three", { revision: 0 })).rejects.toMatchObject(conflict);
    });

    test("that tell who watches what is there and every change, of one key or of all", async () => {
      await using fleet = await open();
      const bucket = fleet.bucket("b", { storage });
      await bucket.put("k", 1);
      await bucket.put("other", 1);
      const [all, one]: [Entry[], Entry[]] = [[], []];
      await bucket.watch((entry) => all.push(entry));
      const stop = await bucket.watch((entry) => one.push(entry), "k");
      await bucket.put("k", 2);
      await bucket.put("k", undefined);
      await bucket.put("other", 2);
      await expect.poll(() => all.length).toBe(5);
      expect(one.map(({ value }) => value)).toEqual([1, 2, undefined]);
      expect(one.map(({ revision }) => revision)).toEqual(
        one.map(({ revision }) => revision).toSorted((a, b) => a - b),
      );
      stop();
      await bucket.put("k", 3);
      await expect.poll(() => all.length).toBe(6);
      expect(one).toHaveLength(3);
    });
  });

  test("has buckets in memory whose values pass away", async () => {
    await using fleet = await open();
    const bucket = fleet.bucket("b", { storage: "memory" });
    await bucket.put("short", 1, { ttl: "1s" });
    await bucket.put("long", 1, { ttl: "1h" });
    await expect.poll(() => bucket.keys(), { timeout: 5_000 }).toEqual(["long"]);
    expect(await bucket.put("short", 2, { revision: 0 })).toBeGreaterThan(0);
  });

  test("counts", async () => {
    await using fleet = await open();
    const family = fleet.meter.counter("plexus_test_total", "Tests", ["kind"]);
    family.with({ kind: "a" }).value += 2;
    const again = fleet.meter.counter("plexus_test_total", "Tests", ["kind"]);
    expect(again.with({ kind: "a" }).value).toBe(2);
    expect(again.with({ kind: "b" }).value).toBe(0);
    fleet.meter.gauge("plexus_test", "Test", []).with({}).value = 1;
    fleet.meter.histogram("plexus_test_seconds", "Time", ["x"], [1, 2]).with({ x: "y" }).observe(1);
  });
});
