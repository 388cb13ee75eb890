import { expect, test } from "vitest";
import { runTaskCampaign } from "./tasks.ts";

const plan = { seed: 1, tasks: 3_000, hosts: 3, workMs: 20, killEveryMs: 600 };
const intact = { submitted: 3_000, recorded: 3_000, replaced: 0, lost: 0, wrong: 0 };

test.each(["single", "cluster"] as const)(
  "tasks survive hosts that are killed and a broker that is (%s): none lost, none recorded twice",
  async (brokers) => {
    const report = await runTaskCampaign({ ...plan, brokers }, (line) => console.log(line));
    expect(report).toMatchObject(intact);
    expect(report.kills).toBeGreaterThan(0);
    expect(report.executions).toBeGreaterThanOrEqual(3_000);
  },
  180_000,
);
