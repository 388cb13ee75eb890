import { readHealth, type HealthReport } from "@plexus/llm";
import type { Command } from "commander";
import { meshCommand, withMesh, type MeshOptions } from "./mesh-options.ts";
import { paint, print, printJson, table } from "./output.ts";

const HEADER = ["MODEL", "KEY", "BREAKER", "LEFT ALONE FOR"];

/** `plexus llm breakers` */
export function llmBreakersCommand(): Command {
  return meshCommand("breakers", "show which models a mesh's agents are kept from")
    .addHelpText(
      "after",
      "\nOnly models that have ever tripped, or asked to be left alone. KEY tells API keys apart. With --json: one array.",
    )
    .action((options: MeshOptions) =>
      withMesh(options, async (mesh) => {
        const reports = await readHealth(mesh);
        if (options.json) printJson(reports);
        else if (reports.length === 0) print(`Nothing has tripped in mesh ${mesh.mesh}.`);
        else for (const line of table(HEADER, reports.map(cells))) print(line);
      }),
    );
}

function cells({ model, key, breaker, by, coolingMs }: HealthReport): string[] {
  const shown = {
    closed: paint("green", "closed"),
    open: paint("red", "open"),
    probing: paint("yellow", `half-open, tried by ${by}`),
  };
  return [
    paint("bold", model),
    key,
    shown[breaker],
    coolingMs === undefined ? "-" : `${coolingMs} ms when told`,
  ];
}
