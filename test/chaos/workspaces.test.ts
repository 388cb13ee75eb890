import { expect, test } from "vitest";
import { runWorkspaceCampaign } from "./workspaces.ts";

test("agents that edit the same files while hosts and broker are killed lose no update, and are told what became of each", async () => {
  const plan = { seed: 1, editors: 4, edits: 160, files: 6, pauseMs: 40, hosts: 2 };
  const faults = { killEvery: 70, restarts: 1, built: false };
  const report = await runWorkspaceCampaign({ ...plan, ...faults }, (line) => console.log(line));
  expect(report).toMatchObject({ wrong: [], faults: [], same: true, restarted: 1 });
  expect(report.accepted + report.rejected).toBe(160);
  expect(report.accepted).toBeGreaterThan(0);
  expect(report.rejected).toBeGreaterThan(0);
  expect(report.killed).toBeGreaterThan(0);
}, 180_000);
