import { expect, test } from "vitest";
import { runGraphCampaign } from "./graphs.ts";

test("runs of graphs whose hosts are killed and hang end as if nothing had happened, each execution recorded once", async () => {
  const plan = { seed: 1, graphs: 4, hosts: 3, lanes: 6, leaseMs: 1_500, stuckMs: 60_000 };
  const faults = { kills: 4, killEveryMs: 900, freezes: 1, restarts: 1, built: false };
  const report = await runGraphCampaign({ ...plan, ...faults }, (line) => console.log(line));
  expect(report).toMatchObject({ wrong: [], stuck: [], killed: 4, frozen: 1, restarted: 1 });
  expect(report.runs).toBeGreaterThanOrEqual(plan.lanes);
  expect(report.constructs).toContain("compensation");
}, 180_000);
