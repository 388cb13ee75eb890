import { MeshError, isMeshError } from "@plexus/core";
import type { Mesh } from "@plexus/mesh";
import { graphContract, graphOf } from "@plexus/workflow";
import { closest } from "./closest.ts";
import { hintsOf, isOfRun, withHints } from "./failure.ts";

/** Graphs that processes of a mesh host. */
function hostedGraphs(mesh: Mesh): string[] {
  const names = mesh.agents().map(({ agent }) => graphOf(agent));
  return [...new Set(names.filter((name) => name !== undefined))].toSorted();
}

/** All graphs that are hosted in a mesh, or have ever been. */
export async function knownGraphs(mesh: Mesh): Promise<string[]> {
  const past = (await mesh.shards()).map(({ entity }) => graphOf(entity));
  const known = past.filter((name) => name !== undefined);
  return [...new Set([...hostedGraphs(mesh), ...known])].toSorted();
}

/** Says that nobody hosts a graph, or ever has, and which graphs there are. */
export async function nobodyHosts(mesh: Mesh, graph: string): Promise<MeshError> {
  const known = await knownGraphs(mesh);
  const hosted = hostedGraphs(mesh);
  const meant = known.includes(graph) ? undefined : closest(graph, known);
  const others = known.filter((name) => name !== graph && !hosted.includes(name));
  const text = [
    known.includes(graph)
      ? `Nobody hosts graph ${graph} in mesh ${mesh.mesh}.`
      : `Nobody has ever hosted graph ${graph} in mesh ${mesh.mesh}.`,
    ...(meant === undefined ? [] : [`Did you mean ${meant}?`]),
    ...(hosted.length === 0 ? [] : [`Hosted are: ${hosted.join(", ")}.`]),
    ...(others.length === 0 ? [] : [`Nobody hosts now: ${others.join(", ")}.`]),
  ];
  return new MeshError("NO_AGENT", text.join(" "));
}

/** Does what is about a thread of a graph, and says in terms of graphs why it fails. */
export async function aboutGraph<T>(mesh: Mesh, graph: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const unknown = isMeshError(error, "NO_RUN") && !(await knownGraphs(mesh)).includes(graph);
    throw unknown ? await nobodyHosts(mesh, graph) : inTermsOfGraphs(error, graph);
  }
}

/** The same error, about a graph where it is about the agent that hosts it. */
function inTermsOfGraphs(error: unknown, graph: string): unknown {
  if (!isMeshError(error) || isOfRun(error)) return error;
  const { name } = graphContract(graph);
  if (!error.message.includes(name)) return error;
  const text =
    error.code === "NO_AGENT"
      ? `Nobody hosts graph ${graph}, or nobody who hosts it has taken the thread over.`
      : error.message.replaceAll(name, graph);
  const { code, retryable, details } = error;
  const same = new MeshError(code, text, { cause: error, retryable, details });
  return withHints(same, hintsOf(error));
}
