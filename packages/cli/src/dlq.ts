import { Command } from "commander";
import { dlqDiscardCommand } from "./dlq-discard.ts";
import { dlqListCommand } from "./dlq-list.ts";
import { dlqRetryCommand } from "./dlq-retry.ts";
import { dlqShowCommand } from "./dlq-show.ts";

/** `plexus dlq ls|show|retry|discard` */
export function dlqCommand(): Command {
  return new Command("dlq")
    .description("see the tasks that have failed for good, and decide on them")
    .addCommand(dlqListCommand())
    .addCommand(dlqShowCommand())
    .addCommand(dlqRetryCommand())
    .addCommand(dlqDiscardCommand());
}
