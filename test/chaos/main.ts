import { parseArgs } from "node:util";
import { shardCampaign } from "./shards.ts";
import { runTaskCampaign } from "./tasks.ts";

const usage = `Usage: npm run chaos [-- shards] [--seed <n>] [--tasks <n>] [--hosts <n>] [--json]

Runs the full fault campaign: by default 100,000 tasks on 8 hosts, one of which is killed every 2 s, with the broker
killed once. Exits 1 when a task is lost or recorded twice. \`shards\`: an entity's hosts join, leave, hang and are killed.`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
    tasks: { type: "string", default: "100000" },
    hosts: { type: "string", default: "8" },
    json: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});
const [seed = 0, tasks = 0, hosts = 0] = [values.seed, values.tasks, values.hosts].map(Number);
if (values.help || ![seed, tasks, hosts].every((n) => Number.isInteger(n) && n > 0)) {
  console.error(usage);
  process.exitCode = values.help ? 0 : 2;
} else if (positionals[0] === "shards") {
  console.error(`chaos: seed ${seed}`);
  const { ok, lines, figures } = await shardCampaign.run({ seed, scale: 1, log: console.error });
  if (values.json) console.log(JSON.stringify({ chaos: "shards", seed, ok, ...figures }));
  else console.log([...lines, ok ? "ok" : "FAILED"].join("\n"));
  process.exitCode = ok ? 0 : 1;
} else {
  console.error(`chaos: seed ${seed}`);
  const campaign = {
    seed,
    tasks,
    hosts,
    workMs: 400,
    killEveryMs: 2_000,
    restartBroker: true,
  };
  const report = await runTaskCampaign(campaign, (line) => console.error(`chaos: ${line}`));
  const { lost, wrong, recorded, executions, kills, seconds, longestGapMs } = report;
  const ok = lost === 0 && wrong === 0 && recorded === tasks;
  if (values.json) console.log(JSON.stringify({ chaos: "tasks", seed, ok, ...report }));
  else {
    console.log(
      `tasks      ${tasks} submitted, ${recorded} recorded, ${lost} lost, ${wrong} wrong`,
    );
    console.log(
      `executions ${executions} (${executions - tasks} surplus), ${kills} hosts killed, broker killed once`,
    );
    console.log(
      `time       ${seconds.toFixed(1)} s, longest pause ${(longestGapMs / 1_000).toFixed(1)} s`,
    );
    console.log(ok ? "ok: none lost, none recorded twice" : "FAILED");
  }
  process.exitCode = ok ? 0 : 1;
}
