import { setTimeout as sleep } from "node:timers/promises";
import { MeshError } from "@plexus/core";
import type { Balance, InstanceLoad, LaneLoad, Mesh } from "@plexus/mesh";
import type { Command } from "commander";
import { meshCommand, nameArgument, withMesh, type MeshOptions } from "./mesh-options.ts";
import { paint, print, printJson, table } from "./output.ts";

interface BalancerOptions extends MeshOptions {
  readonly watch?: true;
}

const PERIOD_MS = 1_000;
const INSTANCES = ["AGENT", "INSTANCE", "WEIGHT", "CALLS", "QUEUED", "TASKS", "PLACED", ""];
const LANES = ["AGENT", "CAPABILITY", "PRIORITY", "TENANT", "WAITING", "WORKING"];

/** `plexus balancer` */
export function balancerCommand(): Command {
  return meshCommand("balancer", "show how calls and tasks are spread over the instances")
    .argument("[agent]", "only this agent", nameArgument)
    .option("-w, --watch", "again every second, until Ctrl-C")
    .addHelpText(
      "after",
      "\nCALLS and TASKS are running/slots; PLACED wait on the instance's own lane. With --json: one object; with --watch: one a line.",
    )
    .action((agent: string | undefined, options: BalancerOptions) =>
      withMesh(options, (mesh, signal) => show(mesh, agent, options, signal)),
    );
}

async function show(
  mesh: Mesh,
  agent: string | undefined,
  options: BalancerOptions,
  signal: AbortSignal,
): Promise<void> {
  do {
    const balance = await mesh.balance(agent);
    if (agent !== undefined && balance.instances.length === 0 && !options.watch) {
      throw new MeshError("NO_AGENT", `No instance of agent ${agent} is in mesh ${mesh.mesh}.`);
    }
    if (options.json) printJson(balance);
    else showTables(balance, options.watch === true);
    if (options.watch) await sleep(PERIOD_MS, undefined, { signal }).catch(() => undefined);
  } while (options.watch && !signal.aborted);
}

function showTables({ instances, lanes }: Balance, watch: boolean): void {
  if (watch) print(paint("dim", new Date().toISOString().slice(11, 19)));
  if (instances.length === 0) print("No agents.");
  else for (const line of table(INSTANCES, instances.map(instanceRow))) print(line);
  if (lanes.length === 0) return;
  print("");
  for (const line of table(LANES, lanes.map(laneRow))) print(line);
}

function instanceRow(load: InstanceLoad): string[] {
  const { agent, instance, weight, calls, tasks, placed, draining } = load;
  return [
    paint("bold", agent),
    instance,
    String(weight),
    `${calls.running}/${calls.slots}`,
    String(calls.queued),
    tasks === undefined ? "-" : `${tasks.running}/${tasks.slots}`,
    String(placed),
    draining ? paint("yellow", "draining") : "",
  ];
}

function laneRow({ agent, capability, priority, tenant, waiting, working }: LaneLoad): string[] {
  const whose = tenant ?? paint("red", "a lost instance's");
  return [paint("bold", agent), capability, priority, whose, String(waiting), String(working)];
}
