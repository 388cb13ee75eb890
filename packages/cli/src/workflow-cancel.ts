import { MeshError } from "@plexus/core";
import type { Command } from "commander";
import { meshCommand, withMesh, type MeshOptions } from "./mesh-options.ts";
import { oneLine, print, printJson } from "./output.ts";
import { openExecuted } from "./workflow-executed.ts";
import { aboutGraph } from "./workflow-known.ts";
import { graphArgument } from "./workflow-target.ts";

/** `plexus workflow cancel` */
export function workflowCancelCommand(): Command {
  return meshCommand("cancel", "cancel the run of a thread, and undo what it has done")
    .argument("<graph>", "its name, or its file")
    .argument("<thread>", "which one")
    .argument("[reason]", "why")
    .addHelpText(
      "after",
      "\nReturns when its compensations are done. Exit code 3 if no run is under way.",
    )
    .action(
      async (
        argument: string,
        thread: string,
        reason: string | undefined,
        options: MeshOptions,
      ) => {
        const target = await graphArgument(argument);
        await withMesh(options, async (mesh) => {
          await using executed = await openExecuted(mesh, target);
          const canceled = await aboutGraph(mesh, executed.graph.name, () =>
            executed.graph.cancel(thread, reason),
          );
          if (!canceled) {
            throw new MeshError("NO_RUN", `On thread ${thread} no run is under way.`);
          }
          if (options.json) printJson({ thread, canceled });
          else print(`The run on thread ${oneLine(thread)} is canceled.`);
        });
      },
    );
}
