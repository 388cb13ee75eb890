import { hostGraph, type CompiledGraph, type HostedGraph } from "@plexus/workflow";
import type { Command } from "commander";
import { UsageError } from "./exit-codes.ts";
import { fired } from "./interrupt.ts";
import { meshCommand, withMesh, type MeshOptions } from "./mesh-options.ts";
import { note, print, printJson } from "./output.ts";
import { loadGraphs } from "./workflow-file.ts";

/** What a graph is called that says nothing else. */
const UNNAMED = "graph";

/** `plexus workflow serve` */
export function workflowServeCommand(): Command {
  return meshCommand(
    "serve",
    "host the graphs that files export, until Ctrl-C; several share the threads, and stand in for each other",
  )
    .argument("<files...>", "modules that export graphs, compiled or not")
    .addHelpText(
      "after",
      `
When a process dies, the others continue what it was executing, or whoever serves the graph next does. Ctrl-C lets the nodes
that are being executed end, for 10 s, and hands everything over; a second one ends at once. Where a file connects to the mesh
itself, it finds --server and --mesh in PLEXUS_SERVERS and PLEXUS_MESH.`,
    )
    .action((files: string[], options: MeshOptions) => {
      if (options.server !== undefined) process.env["PLEXUS_SERVERS"] = options.server;
      if (options.mesh !== undefined) process.env["PLEXUS_MESH"] = options.mesh;
      return serve(files, options);
    });
}

async function serve(files: readonly string[], options: MeshOptions): Promise<void> {
  const graphs = new Map<string, { file: string; graph: CompiledGraph }>();
  for (const file of files) {
    // The first one that cannot be loaded is reported.
    for (const [name, graph] of await loadGraphs(file)) {
      const known = graphs.get(name);
      if (known !== undefined && known.graph !== graph) {
        throw new UsageError(`${known.file} and ${file} both export a graph named ${name}.`);
      }
      graphs.set(name, { file, graph });
    }
  }
  if (graphs.has(UNNAMED)) {
    note(`plexus: a graph named ${UNNAMED}, as all without a name are, is mixed up with others.`);
  }
  await withMesh(options, async (mesh, signal) => {
    await using hosted = new AsyncDisposableStack();
    const all = [...graphs.values()].map(({ graph }) => hostGraph(mesh, graph));
    for (const one of await Promise.all(all)) hosted.use<HostedGraph>(one);
    const names = [...graphs.keys()];
    if (options.json) printJson({ mesh: mesh.mesh, graphs: names });
    else print(`Hosting ${names.join(", ")} in mesh ${mesh.mesh}. Ctrl-C ends it.`);
    await fired(signal);
    if (!options.json) note("Handing over; Ctrl-C again ends at once.");
  });
}
