import { MeshError } from "@plexus/core";
import type { Mesh, ShardInfo } from "@plexus/mesh";
import type { Command } from "commander";
import { lastMovement } from "./last-movement.ts";
import { meshCommand, nameArgument, withMesh, type MeshOptions } from "./mesh-options.ts";
import { paint, print, printJson, table, uptime } from "./output.ts";

const SHARDS = ["ENTITY", "PARTITION", "OWNER", "STATE", "EPOCH", "FOR"];
const MOVES = ["ENTITY", "FROM", "TO", "PARTITIONS"];
const COLORS = { held: "green", free: "yellow", lost: "red" } as const;

/** `plexus shards` */
export function shardsCommand(): Command {
  return meshCommand("shards", "show who owns the partitions of entities, and what moved last")
    .argument("[entity]", "only this entity", nameArgument)
    .addHelpText(
      "after",
      "\nSTATE is held, free (handed back), or lost: its owner is not there, and its lease has not run out. EPOCH is the owner's fencing token.",
    )
    .action((entity: string | undefined, options: MeshOptions) =>
      withMesh(options, (mesh) => show(mesh, entity, options)),
    );
}

async function show(mesh: Mesh, entity: string | undefined, options: MeshOptions): Promise<void> {
  const shards = await mesh.shards(entity);
  if (entity !== undefined && shards.length === 0) {
    throw new MeshError(
      "NO_AGENT",
      `Nobody has ever hosted entity ${entity} in mesh ${mesh.mesh}.`,
    );
  }
  const movement = lastMovement(shards);
  if (options.json) {
    printJson({ shards, lastMovement: movement });
    return;
  }
  if (shards.length === 0) {
    print(`No entities in mesh ${mesh.mesh}.`);
    return;
  }
  for (const line of table(SHARDS, shards.map(shardRow))) print(line);
  if (movement === undefined) return;
  print("");
  const moved = movement.moves.reduce((sum, { partitions }) => sum + partitions.length, 0);
  print(`The last change, ${ago(movement.at)} ago, moved ${moved} of ${shards.length} partitions:`);
  const rows = movement.moves.map(({ entity: of, from, to, partitions }) => [
    paint("bold", of),
    from,
    to,
    partitions.join(","),
  ]);
  for (const line of table(MOVES, rows)) print(line);
}

function shardRow({ entity, partition, owner, state, epoch, since }: ShardInfo): string[] {
  return [
    paint("bold", entity),
    String(partition),
    owner ?? "?",
    paint(COLORS[state], state),
    epoch === undefined ? "-" : String(epoch),
    since === undefined ? "-" : ago(since),
  ];
}

function ago(since: number): string {
  return uptime((Date.now() - since) / 1_000);
}
