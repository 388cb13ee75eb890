import type { Command } from "commander";
import { meshCommand, withMesh, type MeshOptions } from "./mesh-options.ts";
import { openHosted } from "./workflow-executed.ts";
import { aboutGraph } from "./workflow-known.ts";
import { follow, showResult } from "./workflow-outcome.ts";
import { SHOWN } from "./workflow-progress.ts";
import { graphArgument, nextCommands } from "./workflow-target.ts";

/** `plexus workflow watch` */
export function workflowWatchCommand(): Command {
  return meshCommand("watch", "show what happens on a thread from now on, until its run rests")
    .argument("<graph>", "its name, or its file")
    .argument("<thread>", "which one")
    .addHelpText(
      "after",
      `
Exits as \`run\` does. With --json: what the run tells, a line each, and {"result"} or {"error"}.`,
    )
    .action(async (argument: string, thread: string, options: MeshOptions, command: Command) => {
      const target = await graphArgument(argument);
      await withMesh(options, async (mesh, signal) => {
        const graph = await openHosted(mesh, target);
        await aboutGraph(mesh, graph.name, () => graph.getState(thread)); // rejects for one that is not there
        const { timeout, json } = options;
        const progress = graph.watch(thread, {
          mode: SHOWN,
          signal,
          ...(timeout !== undefined && { timeout }),
        });
        const next = nextCommands(command, argument, thread);
        const outcome = {
          mesh,
          executed: { graph, isHere: false },
          thread,
          json: json === true,
          signal,
          next,
          out: process.stdout,
        };
        const running = { progress, result: progress.result };
        await aboutGraph(mesh, graph.name, async () =>
          showResult(await follow(running, outcome), outcome),
        );
      });
    });
}
