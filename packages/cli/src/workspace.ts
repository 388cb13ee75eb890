import { Command } from "commander";
import { blameCommand, diffCommand, listCommand, logCommand } from "./workspace-show.ts";
import { conflictsCommand, resolveCommand } from "./workspace-conflicts.ts";
import { checkoutCommand, importCommand, serveCommand } from "./workspace-copy.ts";

/** `plexus workspace ls|log|blame|diff|conflicts|resolve|checkout|import|serve` */
export function workspaceCommand(): Command {
  return new Command("workspace")
    .description("see and change the files that agents edit at once")
    .addCommand(listCommand())
    .addCommand(logCommand())
    .addCommand(blameCommand())
    .addCommand(diffCommand())
    .addCommand(conflictsCommand())
    .addCommand(resolveCommand())
    .addCommand(checkoutCommand())
    .addCommand(importCommand())
    .addCommand(serveCommand());
}
