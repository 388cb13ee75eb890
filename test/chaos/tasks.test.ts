import { expect, test } from "vitest";
import { runTaskCampaign } from "./tasks.ts";

test("tasks survive hosts that are killed and a broker that is: none lost, none recorded twice", async () => {
  const campaign = {
    seed: 1,
    tasks: 3_000,
    hosts: 3,
    workMs: 20,
    killEveryMs: 600,
    restartBroker: true,
  };
  const report = await runTaskCampaign(campaign, (line) => console.log(line));
  expect(report).toMatchObject({
    submitted: 3_000,
    recorded: 3_000,
    lost: 0,
    wrong: 0,
  });
  expect(report.kills).toBeGreaterThan(0);
  expect(report.executions).toBeGreaterThanOrEqual(3_000);
}, 120_000);
