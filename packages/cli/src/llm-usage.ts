import { readUsage, usageBucket, type UsageRow } from "@plexus/llm";
import { InvalidArgumentError, type Command } from "commander";
import { meshCommand, withMesh, type MeshOptions } from "./mesh-options.ts";
import { paint, print, printJson, table } from "./output.ts";

const HEADER = ["AGENT", "MODEL", "CALLS", "FAILED", "TOKENS IN", "TOKENS OUT", "COST"];

/** `plexus llm usage` */
export function llmUsageCommand(): Command {
  return meshCommand("usage", "show what agents have used of which models")
    .option("--day <date>", "only of this day, such as 2026-11-26 (UTC)", dayArgument)
    .addHelpText("after", "\nProcesses write their sums every two seconds. With --json: one array.")
    .action((options: MeshOptions & { day?: string }) =>
      withMesh(options, async (mesh) => {
        const rows = await readUsage(usageBucket(mesh), options.day);
        if (options.json)
          printJson(rows.map(({ nanoUsd, ...row }) => ({ ...row, costUsd: nanoUsd / 1e9 })));
        else if (rows.length === 0) print(`No calls of models in mesh ${mesh.mesh}.`);
        else for (const line of table(HEADER, rows.map(cells))) print(line);
      }),
    );
}

function cells({
  agent,
  model,
  calls,
  failed,
  inputTokens,
  outputTokens,
  nanoUsd,
}: UsageRow): string[] {
  const counts = [calls, failed, inputTokens, outputTokens].map((count) =>
    count.toLocaleString("en-US"),
  );
  return [paint("bold", agent), model, ...counts, `$${(nanoUsd / 1e9).toFixed(6)}`];
}

function dayArgument(text: string): string {
  if (/^\d{4}-\d{2}-\d{2}$/.test(text)) return text;
  throw new InvalidArgumentError("Write it like 2026-11-26.");
}
