import { expect, test } from "vitest";
import { upTo } from "../../../test/support/mesh.ts";
import { Budgets, budgetBucket, readBudget } from "./budgets.ts";
import { localFleet } from "./local-fleet.ts";

test("a bucket with a bound forgets the oldest values beyond it, and those whose time is over", async () => {
  const bucket = localFleet().bucket("cache", { storage: "memory", maxBytes: 10_000 });
  const value = "x".repeat(1_000);
  for (const n of upTo(100)) await bucket.put(`k${n}`, value);
  const keys = await bucket.keys();
  expect(keys.length).toBeLessThan(10);
  expect(keys.at(-1)).toBe("k99");
  await bucket.put("k99", undefined);
  for (const n of upTo(5)) await bucket.put("again", `${n}${value}`);
  expect((await bucket.keys()).length).toBe(keys.length); // what was replaced or removed does not count
});

test("a process keeps the budgets of its last runs in hand, and gives those of earlier ones back", async () => {
  const fleet = localFleet();
  const budgets = new Budgets(fleet, { run: { usd: 1 } }, () => undefined);
  const cost = { nanoUsd: 1_000, tokens: 1 };
  const spend = async (run: string): Promise<void> => {
    await (await budgets.reserve({ run }, cost)).settle(cost);
  };
  const open = await budgets.reserve({ run: "r-open" }, cost);
  for (const n of upTo(1_100)) await spend(`r${n}`);
  const bucket = budgetBucket(fleet);
  const report = (run: string) => readBudget(bucket, `run:${run}`);
  await expect.poll(() => report("r0")).toMatchObject({ spent: cost, processes: 0 });
  expect(await report("r1099")).toMatchObject({ spent: cost, processes: 1 });
  expect(await report("r-open")).toMatchObject({ processes: 1 }); // a call is under way
  await open.settle(cost);
  await spend("r0");
  expect(await report("r0")).toMatchObject({ spent: { nanoUsd: 2_000, tokens: 2 } });
  await budgets.close();
  expect(await report("r0")).toMatchObject({ spent: { nanoUsd: 2_000, tokens: 2 }, processes: 0 });
  expect(await report("r-open")).toMatchObject({ spent: cost, processes: 0 });
});
