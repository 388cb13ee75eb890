import type { InstanceReport, Mesh } from "@plexus/mesh";
import type { Command } from "commander";
import { findInstances } from "./find-instance.ts";
import { meshCommand, withMesh, type MeshOptions } from "./mesh-options.ts";
import { oneLine, paint, print, printJson, table, uptime } from "./output.ts";
import { schemaText } from "./schema-text.ts";

const LOAD = ["RUNNING", "QUEUED"];
const SHARD_LOAD = ["RUNNING", "PARTITIONS", "KEYS"];

/** `plexus agents inspect` */
export function inspectCommand(): Command {
  return meshCommand("inspect", "show an agent's contract, load and requests")
    .argument("<instance-or-agent>", "an agent, or an instance (the beginning of its id will do)")
    .action((name: string, options: MeshOptions) =>
      withMesh(options, async (mesh) => {
        const reports = await inspect(mesh, name, options);
        if (options.json) printJson(toDocument(reports));
        else show(reports);
      }),
    );
}

async function inspect(mesh: Mesh, name: string, options: MeshOptions): Promise<InstanceReport[]> {
  const { timeout } = options;
  const found = findInstances(mesh, name).toSorted((a, b) => (a.instance < b.instance ? -1 : 1));
  return Promise.all(
    found.map(({ instance }) => mesh.inspect(instance, timeout === undefined ? {} : { timeout })),
  );
}

function toDocument(reports: readonly InstanceReport[]): unknown {
  return {
    ...reports[0]!.description,
    instances: reports.map((report) => ({ ...report, description: undefined })), // the same for all
  };
}

function show(reports: readonly InstanceReport[]): void {
  const { description } = reports[0]!;
  print(
    `${paint("bold", description.name)} ${oneLine(description.version)}  ${oneLine(description.description)}`.trimEnd(),
  );
  for (const [name, capability] of Object.entries(description.capabilities)) {
    const marks = [capability.streaming ? "streams" : "", capability.idempotent ? "idempotent" : ""]
      .filter((mark) => mark !== "")
      .join(", ");
    print("");
    print(
      `  ${paint("cyan", name)}${marks === "" ? "" : ` (${marks})`}  ${oneLine(capability.description)}`.trimEnd(),
    );
    print(`    input   ${schemaText(capability.input)}`);
    print(`    output  ${schemaText(capability.output)}`);
  }
  print("");
  const load = reports[0]!.shards === undefined ? LOAD : SHARD_LOAD;
  const header = ["INSTANCE", "HOST", "PID", "UPTIME", "STATE", ...load, "ANSWERED (MEAN)"];
  for (const line of table(header, reports.map(instanceRow))) print(line);
}

function instanceRow(report: InstanceReport): string[] {
  return [
    report.instance,
    report.host,
    String(report.pid),
    uptime((Date.now() - report.startedAt) / 1_000),
    report.draining ? paint("yellow", "draining") : "ready",
    ...loadCells(report),
    Object.entries(report.requests)
      .map(([name, { ok, meanMs }]) => `${name} ${ok} (${meanMs.toFixed(1)} ms)`)
      .join(", "),
  ];
}

/** An agent's instance has slots and a queue, an entity's has partitions and keys. */
function loadCells({ shards, running, concurrency, queued }: InstanceReport): string[] {
  return shards === undefined
    ? [`${running} of ${concurrency}`, String(queued)]
    : [String(running), String(shards.partitions), String(shards.keys)];
}
