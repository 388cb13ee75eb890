import type { TopicInfo } from "@plexus/mesh";
import type { Command } from "commander";
import { meshCommand, withMesh, type MeshOptions } from "./mesh-options.ts";
import { paint, print, printJson, table, uptime } from "./output.ts";

const HEADER = [
  "TOPIC",
  "PARTITIONS",
  "EVENTS",
  "SEQUENCES",
  "BYTES",
  "NEWEST",
  "KEPT",
  "CONSUMERS",
];

/** `plexus topic ls` */
export function topicListCommand(): Command {
  return meshCommand("ls", "list the durable topics")
    .addHelpText("after", "\nWith --json: one array.")
    .action((options: MeshOptions) =>
      withMesh(options, async (mesh) => {
        const topics = await mesh.topics();
        if (options.json) printJson(topics);
        else if (topics.length === 0) print(`No durable topics in mesh ${mesh.mesh}.`);
        else for (const line of table(HEADER, topics.map(row))) print(line);
      }),
    );
}

function row(info: TopicInfo): string[] {
  const empty = info.lastAt === undefined;
  return [
    paint("bold", info.topic),
    String(info.partitions),
    String(info.events),
    empty ? "-" : `${info.firstSequence}-${info.lastSequence}`,
    String(info.bytes),
    ago(info.lastAt),
    uptime(info.keepMs / 1_000),
    String(info.consumers),
  ];
}

/** How long something is over. */
export function ago(atMs: number | undefined): string {
  return atMs === undefined ? "-" : `${uptime((Date.now() - atMs) / 1_000)} ago`;
}
