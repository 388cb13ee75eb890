import type { Mesh } from "@plexus/mesh";
import { remoteGraph, type CompiledGraph, type RemoteGraph } from "@plexus/workflow";
import type { Command } from "commander";
import { nameArgument, type MeshOptions } from "./mesh-options.ts";
import { oneLine } from "./output.ts";
import { isGraphFile, loadGraph } from "./workflow-file.ts";

/** A graph as the command line names it: by its name alone, or with what its file exports. */
export type GraphArgument = string | CompiledGraph;

/** The graph of an argument that is a name, or a file. */
export async function graphArgument(argument: string): Promise<GraphArgument> {
  return isGraphFile(argument) ? loadGraph(argument) : nameArgument(argument);
}

export function graphName(graph: GraphArgument): string {
  return typeof graph === "string" ? graph : graph.plan.name;
}

/** A graph to read from, whoever hosts it. */
export function openGraph(mesh: Mesh, graph: GraphArgument): RemoteGraph {
  return typeof graph === "string" ? remoteGraph(mesh, graph) : remoteGraph(mesh, graph);
}

/** A command about a thread that one may give next, as one would type it. */
export type NextCommand = (verb: string, ...options: readonly string[]) => string;

/** Commands about a thread of a graph, in the mesh that this command line has named. */
export function nextCommands(command: Command, graph: string, thread: string): NextCommand {
  const options = command.opts<MeshOptions>();
  const place = (["server", "mesh"] as const).flatMap((name) => {
    if (command.getOptionValueSource(name) !== "cli") return [];
    const secret = options[name]!.includes("@"); // credentials
    return [`--${name}`, secret ? "<urls>" : quote(options[name]!)];
  });
  return (verb, ...rest) =>
    ["plexus workflow", verb, quote(graph), quote(thread), ...rest, ...place].join(" ");
}

/** A word as a shell reads it. */
function quote(word: string): string {
  const plain = oneLine(word);
  return /^[\w.,:@%+=/#-]+$/.test(plain) ? plain : `'${plain.replaceAll("'", `'\\''`)}'`;
}
