import type { GraphDescription } from "@plexus/workflow";
import type { Command } from "commander";
import { UsageError } from "./exit-codes.ts";
import { meshCommand, withMesh, type MeshOptions } from "./mesh-options.ts";
import { harmless, print, printJson } from "./output.ts";
import { openHosted } from "./workflow-executed.ts";
import { aboutGraph } from "./workflow-known.ts";
import { graphArgument } from "./workflow-target.ts";

interface GraphOptions extends MeshOptions {
  readonly mermaid?: true;
}

/** `plexus workflow graph` */
export function workflowGraphCommand(): Command {
  return meshCommand("graph", "draw a graph: one that somebody hosts, or one that a file exports")
    .argument("<graph>", "its name, or its file: that needs no broker")
    .option("--mermaid", "as a Mermaid flowchart")
    .addHelpText(
      "after",
      "\n? is a conditional edge, ! a hand-off, & a join, ↑ a node that is drawn above. With --json: {name, version, hash, mermaid, drawing}.",
    )
    .action(async (argument: string, options: GraphOptions) => {
      if (options.mermaid && options.json) {
        throw new UsageError("--json has the Mermaid text, too: leave out --mermaid.");
      }
      const { drawing, mermaid, ...rest } = await describe(argument, options);
      if (options.json) printJson({ ...rest, mermaid, drawing });
      else print(harmless(options.mermaid ? mermaid : drawing));
    });
}

async function describe(argument: string, options: MeshOptions): Promise<GraphDescription> {
  const graph = await graphArgument(argument);
  if (typeof graph === "string") {
    return withMesh(options, async (mesh) => {
      const hosted = await openHosted(mesh, graph);
      return aboutGraph(mesh, graph, () => hosted.describe());
    });
  }
  const { name, version, hash } = graph.plan;
  return { name, version, hash, mermaid: graph.mermaid(), drawing: graph.draw() };
}
