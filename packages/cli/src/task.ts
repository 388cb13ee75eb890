import { Command } from "commander";
import { retryOneCommand } from "./dlq-retry.ts";
import { taskCancelCommand } from "./task-cancel.ts";
import { taskListCommand } from "./task-list.ts";
import { taskShowCommand } from "./task-show.ts";
import { taskSubmitCommand } from "./task-submit.ts";
import { taskWatchCommand } from "./task-watch.ts";

/** `plexus task submit|ls|show|watch|cancel|retry` */
export function taskCommand(): Command {
  return new Command("task")
    .description("submit durable tasks, and see what becomes of them")
    .addCommand(taskSubmitCommand())
    .addCommand(taskListCommand())
    .addCommand(taskShowCommand())
    .addCommand(taskWatchCommand())
    .addCommand(taskCancelCommand())
    .addCommand(retryOneCommand());
}
