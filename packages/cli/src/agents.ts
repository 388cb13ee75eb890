import { Command } from "commander";
import { drainCommand } from "./agents-drain.ts";
import { inspectCommand } from "./agents-inspect.ts";
import { listCommand } from "./agents-list.ts";

/** `plexus agents ls|inspect|drain` */
export function agentsCommand(): Command {
  return new Command("agents")
    .description("see and manage the agents of a mesh")
    .addCommand(listCommand())
    .addCommand(inspectCommand())
    .addCommand(drainCommand());
}
