import { expect, test } from "vitest";
import { runShardCampaign } from "./shards.ts";

test("partitions whose hosts join, leave, hang and are killed: each command is recorded once and in order, and little moves", async () => {
  const plan = { seed: 1, hosts: 3, calmChanges: 2, churnMs: 7_000, keys: 32, built: false };
  const report = await runShardCampaign(plan, (line) => console.log(line));
  expect(report).toMatchObject({ wrong: [], failures: [] });
  expect(report.killed).toBeGreaterThan(0);
  expect(report.moved).toBeGreaterThan(0);
  expect(report.worstMove).toBeLessThanOrEqual(1.5);
  expect(report.meanMove).toBeLessThanOrEqual(1.5);
}, 120_000);
