import { Command } from "commander";
import { workflowCancelCommand } from "./workflow-cancel.ts";
import { workflowForkCommand } from "./workflow-fork.ts";
import { workflowGraphCommand } from "./workflow-graph.ts";
import { workflowListCommand } from "./workflow-list.ts";
import { workflowResumeCommand } from "./workflow-resume.ts";
import { workflowRunCommand } from "./workflow-run.ts";
import { workflowServeCommand } from "./workflow-serve.ts";
import { workflowShowCommand } from "./workflow-show.ts";
import { workflowWatchCommand } from "./workflow-watch.ts";

/** `plexus workflow serve|run|ls|show|watch|resume|fork|cancel|graph` */
export function workflowCommand(): Command {
  return new Command("workflow")
    .description("host graphs, run them, see and change what becomes of their runs")
    .addHelpText(
      "after",
      `
A graph is named as its file names it, or by that file: review.ts, or review.ts#name if it exports several. Exit codes as everywhere,
and 6 for a run that waits for an answer or an event.`,
    )
    .addCommand(workflowServeCommand())
    .addCommand(workflowRunCommand())
    .addCommand(workflowListCommand())
    .addCommand(workflowShowCommand())
    .addCommand(workflowWatchCommand())
    .addCommand(workflowResumeCommand())
    .addCommand(workflowForkCommand())
    .addCommand(workflowCancelCommand())
    .addCommand(workflowGraphCommand());
}
