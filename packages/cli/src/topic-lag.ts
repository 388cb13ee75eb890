import type { Mesh, TopicLag } from "@plexus/mesh";
import type { Command } from "commander";
import { meshCommand, withMesh, type MeshOptions } from "./mesh-options.ts";
import { paint, print, printJson, table } from "./output.ts";
import { topicArgument } from "./topic-argument.ts";
import { ago } from "./topic-list.ts";

const HEADER = ["TOPIC", "SUBSCRIPTION", "PENDING", "IN HAND", "REDELIVERED", "GIVEN UP", "ACTIVE"];

/** `plexus topic lag` */
export function topicLagCommand(): Command {
  return meshCommand("lag", "show how far the named subscriptions are")
    .argument(
      "[topic]",
      "only those of this topic, as it is declared: bars.{symbol}",
      topicArgument,
    )
    .addHelpText(
      "after",
      `
PENDING has not been delivered to anybody, IN HAND is being handled or waits to be delivered again (REDELIVERED), GIVEN UP
failed too often and was moved past. With --json: one array.`,
    )
    .action((topic: string | undefined, options: MeshOptions) =>
      withMesh(options, async (mesh) => {
        const lags = topic === undefined ? await everyLag(mesh) : await mesh.topicLag(topic);
        if (options.json) printJson(lags);
        else if (lags.length === 0) print("No named subscriptions.");
        else for (const line of table(HEADER, lags.map(row))) print(line);
      }),
    );
}

async function everyLag(mesh: Mesh): Promise<TopicLag[]> {
  const topics = await mesh.topics();
  return (await Promise.all(topics.map(({ topic }) => mesh.topicLag(topic)))).flat();
}

function row(lag: TopicLag): string[] {
  return [
    paint("bold", lag.topic),
    lag.subscription,
    String(lag.pending),
    String(lag.ackPending),
    String(lag.redelivered),
    lag.givenUp === 0 ? "0" : paint("red", String(lag.givenUp)),
    ago(lag.lastActive),
  ];
}
