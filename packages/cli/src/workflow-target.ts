import { MeshError } from "@plexus/core";
import type { Mesh } from "@plexus/mesh";
import {
  graphContract,
  graphOf,
  hostGraph,
  remoteGraph,
  type CompiledGraph,
  type RemoteGraph,
} from "@plexus/workflow";
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

/** A graph to have something done by whoever hosts it. @throws MeshError `NO_AGENT` at once if nobody does */
export function openHosted(mesh: Mesh, graph: GraphArgument): RemoteGraph {
  if (isHosted(mesh, graph)) return openGraph(mesh, graph);
  const others = hostedGraphs(mesh).toSorted();
  const hosted = others.length === 0 ? "" : ` Hosted are: ${others.join(", ")}.`;
  const text = `Nobody hosts graph ${graphName(graph)} in mesh ${mesh.mesh}.${hosted}`;
  throw new MeshError("NO_AGENT", text);
}

/** A graph that is executed: by whoever hosts it, and if nobody does, here, until this is disposed. */
export interface ExecutedGraph extends AsyncDisposable {
  readonly graph: RemoteGraph;
  readonly isHere: boolean;
}

/** A graph to have something done. @throws MeshError `NO_AGENT` if nobody hosts it, and all that is known of it is its name */
export async function openExecuted(mesh: Mesh, graph: GraphArgument): Promise<ExecutedGraph> {
  if (typeof graph === "string" || isHosted(mesh, graph)) {
    const remote = openHosted(mesh, graph);
    return { graph: remote, isHere: false, [Symbol.asyncDispose]: () => Promise.resolve() };
  }
  const hosted = await hostGraph(mesh, graph);
  return {
    graph: openGraph(mesh, graph),
    isHere: true,
    [Symbol.asyncDispose]: () => hosted.drain(),
  };
}

function isHosted(mesh: Mesh, graph: GraphArgument): boolean {
  return mesh.agents(graphContract(graphName(graph))).length > 0;
}

function hostedGraphs(mesh: Mesh): string[] {
  const names = mesh.agents().map(({ agent }) => graphOf(agent));
  return [...new Set(names.filter((name) => name !== undefined))];
}

/** All graphs that are hosted in a mesh, or have ever been. */
export async function knownGraphs(mesh: Mesh): Promise<string[]> {
  const past = (await mesh.shards()).map(({ entity }) => graphOf(entity));
  const known = past.filter((name) => name !== undefined);
  return [...new Set([...hostedGraphs(mesh), ...known])].toSorted();
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
