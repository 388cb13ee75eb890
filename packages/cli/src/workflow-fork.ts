import type { Command } from "commander";
import { meshCommand, withMesh, type MeshOptions } from "./mesh-options.ts";
import { note, print, printJson } from "./output.ts";
import { openExecuted } from "./workflow-executed.ts";
import { aboutGraph } from "./workflow-known.ts";
import { checkpointArgument } from "./workflow-show.ts";
import { graphArgument, nextCommands } from "./workflow-target.ts";

interface ForkOptions extends MeshOptions {
  readonly checkpoint?: number;
  readonly to?: string;
}

/** `plexus workflow fork` */
export function workflowForkCommand(): Command {
  return meshCommand("fork", "begin a new thread with the state of another one, and print its name")
    .argument("<graph>", "its name, or its file")
    .argument("<thread>", "which one; it stays as it is")
    .option("--checkpoint <n>", "as it was then (default: as it is)", checkpointArgument)
    .option("--to <thread>", "name of the new one")
    .action(async (argument: string, thread: string, options: ForkOptions, command: Command) => {
      const target = await graphArgument(argument);
      await withMesh(options, async (mesh) => {
        const { checkpoint, to, json } = options;
        await using executed = await openExecuted(mesh, target);
        const fork = await aboutGraph(mesh, executed.graph.name, () =>
          executed.graph.fork(thread, {
            ...(checkpoint !== undefined && { checkpoint }),
            ...(to !== undefined && { to }),
          }),
        );
        if (json) printJson({ thread: fork });
        else {
          print(fork);
          note(`Go on with it from there: \`${nextCommands(command, argument, fork)("resume")}\`.`);
        }
      });
    });
}
