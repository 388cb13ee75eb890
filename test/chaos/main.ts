import { parseArgs } from "node:util";
import type { Campaign } from "./campaign.ts";
import { graphCampaign } from "./graphs.ts";
import { linearizabilityCampaign } from "./linearizability.ts";
import { recoveryCampaign } from "./recovery.ts";
import { shardCampaign } from "./shards.ts";
import { taskCampaign } from "./tasks.ts";
import { workspaceCampaign } from "./workspaces.ts";

const campaigns: Record<string, Campaign> = {
  tasks: taskCampaign("single"),
  "tasks-cluster": taskCampaign("cluster"),
  recovery: recoveryCampaign,
  shards: shardCampaign,
  linearizability: linearizabilityCampaign,
  workspace: workspaceCampaign,
  graphs: graphCampaign,
};

const width = Math.max(...Object.keys(campaigns).map((name) => name.length));
const usage = `Usage: npm run chaos [-- name…] [--seed <n>] [--scale <0…1>] [--json]

${Object.entries(campaigns)
  .map(([name, { summary }]) => `  ${name.padEnd(width)}  ${summary}`)
  .join("\n")}

All of them unless some are named; --scale 0.1 runs a tenth of each. Exits 1 when a promise does not hold.`;

/** Undefined when the command line makes no sense. */
function readArguments() {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        seed: { type: "string", default: String(Date.now() % 1_000_000) },
        scale: { type: "string", default: "1" },
        json: { type: "boolean", default: false },
        help: { type: "boolean", default: false },
      },
    });
    const [seed, scale] = [Number(values.seed), Number(values.scale)];
    if (!positionals.every((name) => Object.hasOwn(campaigns, name))) return undefined;
    if (!(Number.isInteger(seed) && seed >= 0 && scale > 0 && scale <= 1)) return undefined;
    const names = positionals.length > 0 ? positionals : Object.keys(campaigns);
    return { names, seed, scale, json: values.json, help: values.help };
  } catch {
    return undefined;
  }
}

const chosen = readArguments();
if (chosen === undefined || chosen.help) {
  console.error(usage);
  process.exitCode = chosen?.help ? 0 : 2;
} else {
  const { names, seed, scale, json } = chosen;
  for (const name of names) {
    const log = (line: string): void => console.error(`chaos ${name}: ${line}`);
    log(`seed ${seed}`);
    const { ok, lines, figures } = await campaigns[name]!.run({ seed, scale, log });
    if (json) console.log(JSON.stringify({ chaos: name, seed, ok, ...figures }));
    else console.log([name, ...lines, ok ? "ok" : "FAILED", ""].join("\n"));
    if (!ok) process.exitCode = 1;
  }
}
