import { Command } from "commander";
import { topicLagCommand } from "./topic-lag.ts";
import { topicListCommand } from "./topic-list.ts";
import { topicReplayCommand } from "./topic-replay.ts";

/** `plexus topic ls|lag|replay` */
export function topicCommand(): Command {
  return new Command("topic")
    .description("see the durable topics of a mesh, and what is stored on them")
    .addCommand(topicListCommand())
    .addCommand(topicLagCommand())
    .addCommand(topicReplayCommand());
}
