import { MeshError } from "@plexus/core";
import type { InstanceInfo, Mesh } from "@plexus/mesh";
import type { Command } from "commander";
import { fired } from "./interrupt.ts";
import { meshCommand, nameArgument, withMesh, type MeshOptions } from "./mesh-options.ts";
import { paint, print, printJson, table, uptime } from "./output.ts";

interface ListOptions extends MeshOptions {
  readonly watch?: true;
}

const HEADER = [
  "AGENT",
  "INSTANCE",
  "VERSION",
  "HOST",
  "PID",
  "UPTIME",
  "WEIGHT",
  "CAPABILITIES",
  "HTTP",
];

/** `plexus agents ls` */
export function listCommand(): Command {
  return meshCommand("ls", "list the live instances")
    .argument("[agent]", "only those of this agent", nameArgument)
    .option("-w, --watch", "then show who joins, changes and leaves, until Ctrl-C")
    .addHelpText("after", "\nWith --json: one array; with --watch: one line per change.")
    .action((agent: string | undefined, options: ListOptions) =>
      withMesh(options, (mesh, signal) => list(mesh, agent, options, signal)),
    );
}

async function list(
  mesh: Mesh,
  agent: string | undefined,
  options: ListOptions,
  signal: AbortSignal,
): Promise<void> {
  const found = mesh
    .agents(agent)
    .toSorted((a, b) => (`${a.agent} ${a.instance}` < `${b.agent} ${b.instance}` ? -1 : 1));
  if (options.watch) {
    const stop = mesh.watch(({ type, instance }) => {
      if (agent === undefined || instance.agent === agent) showChange(type, instance, options);
    });
    if (options.json) for (const instance of found) printJson({ type: "present", instance });
    else showAll(mesh, found, options);
    await fired(signal);
    stop();
    return;
  }
  if (agent !== undefined && found.length === 0) {
    throw new MeshError("NO_AGENT", `No instance of agent ${agent} is in mesh ${mesh.mesh}.`);
  }
  if (options.json) printJson(found);
  else showAll(mesh, found, options);
}

function showAll(mesh: Mesh, instances: readonly InstanceInfo[], options: ListOptions): void {
  if (instances.length === 0) {
    // Whoever has named none may not know that there are others.
    const others = options.mesh === undefined ? " --mesh or PLEXUS_MESH names another one." : "";
    print(`No agents in mesh ${mesh.mesh}.${others}`);
  } else for (const line of table(HEADER, instances.map(row))) print(line);
}

function showChange(
  type: "joined" | "changed" | "left",
  instance: InstanceInfo,
  { json }: ListOptions,
): void {
  if (json) {
    printJson({ type, instance });
    return;
  }
  const color = ({ joined: "green", changed: "yellow", left: "red" } as const)[type];
  const time = paint("dim", new Date().toISOString().slice(11, 19));
  print(
    `${time} ${paint(color, type.padEnd(7))} ${instance.agent} ${instance.instance} (${instance.host}, pid ${instance.pid})`,
  );
}

function row(info: InstanceInfo): string[] {
  return [
    paint("bold", info.agent),
    info.instance,
    info.version,
    info.host,
    String(info.pid),
    uptime((Date.now() - info.startedAt) / 1_000),
    String(info.weight),
    info.capabilities.join(","),
    info.http ?? "-",
  ];
}
