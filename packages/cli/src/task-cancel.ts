import { MeshError } from "@plexus/core";
import type { Command } from "commander";
import { meshCommand, withMesh, type MeshOptions } from "./mesh-options.ts";
import { print, printJson } from "./output.ts";

/** `plexus task cancel` */
export function taskCancelCommand(): Command {
  return meshCommand("cancel", "end a task for good, running or not")
    .argument("<task>", "its id")
    .addHelpText("after", "\nExits 1 (CONFLICT) when it has ended before.")
    .action((id: string, options: MeshOptions) =>
      withMesh(options, async (mesh) => {
        const task = mesh.task(id);
        if (!(await task.cancel())) {
          const { state } = await task.status();
          throw new MeshError("CONFLICT", `Task ${id} has ended before: ${state}.`, {
            retryable: false,
          });
        }
        if (options.json) printJson({ canceled: id });
        else print(`canceled ${id}`);
      }),
    );
}
