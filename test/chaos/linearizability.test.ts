import { expect, test } from "vitest";
import { runLinearizability } from "./linearizability.ts";
import { stalenessOf } from "./staleness.ts";

test("entities and shared state are linearizable while brokers are killed, hang and are parted; who trusts an old copy is found out", async () => {
  const plan = { seed: 3, runs: 2, runMs: 3_000, stalenessMs: 0, built: false };
  const report = await runLinearizability(plan, (line) => console.log(line));
  expect(report).toMatchObject({ violations: [], undecided: [] });
  expect(report.operations).toBeGreaterThan(20);
  expect(report.foundAfter).toBeGreaterThan(0);
}, 240_000);

test("what was read is as stale as something newer has been confirmed", () => {
  const confirmed = [10, 20, 30].map((at) => ({ at, revision: at }));
  const read = [
    { at: 15, revision: 10 },
    { at: 25, revision: 10 },
    { at: 35, revision: 40 },
  ];
  expect(stalenessOf(confirmed, read)).toEqual({ reads: 3, p50: 0, p99: 0, max: 5 });
  expect(stalenessOf(confirmed, [{ at: 45, revision: 10 }])).toMatchObject({ max: 25 });
});
