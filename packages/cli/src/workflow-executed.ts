import { setTimeout as sleep } from "node:timers/promises";
import { isMeshError } from "@plexus/core";
import type { Mesh } from "@plexus/mesh";
import {
  graphContract,
  hostGraph,
  type CompiledGraph,
  type HostedGraph,
  type RemoteGraph,
} from "@plexus/workflow";
import { note, oneLine } from "./output.ts";
import { nobodyHosts } from "./workflow-known.ts";
import { graphName, openGraph, type GraphArgument } from "./workflow-target.ts";

const ANSWER_MS = 2_000; // of a process that is at work
const AGAIN_MS = 250; // in a cluster, where the news of a process takes a moment
const LOOK_EVERY_MS = 2_000;

/** A graph that is executed: by whoever hosts it, and if nobody does, here, until this is disposed. */
export interface ExecutedGraph extends AsyncDisposable {
  readonly graph: RemoteGraph;
  /** Whether this process executes it, and perhaps no other. */
  readonly isHere: boolean;
}

/**
 * A graph to have something done. With its file it is hosted here if nobody else does, or as soon as nobody is left.
 * @throws MeshError `NO_AGENT` if nobody hosts it, and all that is known of it is its name
 */
export async function openExecuted(mesh: Mesh, graph: GraphArgument): Promise<ExecutedGraph> {
  if (typeof graph === "string") {
    const remote = await openHosted(mesh, graph);
    return { graph: remote, isHere: false, [Symbol.asyncDispose]: () => Promise.resolve() };
  }
  const standIn = new StandIn(mesh, graph);
  if ((await presence(mesh, graph.plan.name)) !== "there") await standIn.host();
  else {
    await warnOfOther(openGraph(mesh, graph), graph);
    standIn.wait();
  }
  return standIn;
}

/** A graph to have something done by whoever hosts it. @throws MeshError `NO_AGENT` at once if nobody does */
export async function openHosted(mesh: Mesh, graph: GraphArgument): Promise<RemoteGraph> {
  const name = graphName(graph);
  if (mesh.agents(graphContract(name)).length === 0) throw await nobodyHosts(mesh, name);
  return openGraph(mesh, graph);
}

/** Executes a graph here when nobody else does. */
class StandIn implements ExecutedGraph {
  readonly graph: RemoteGraph;
  readonly #mesh: Mesh;
  readonly #compiled: CompiledGraph;
  readonly #over = new AbortController();
  #hosted: HostedGraph | undefined;
  #waiting: Promise<void> | undefined;

  constructor(mesh: Mesh, compiled: CompiledGraph) {
    this.#mesh = mesh;
    this.#compiled = compiled;
    this.graph = openGraph(mesh, compiled);
  }

  get isHere(): boolean {
    return this.#hosted !== undefined;
  }

  async host(): Promise<void> {
    this.#hosted = await hostGraph(this.#mesh, this.#compiled);
  }

  /** Until nobody else is left. */
  wait(): void {
    this.#waiting = this.#watch().catch(() => undefined); // whoever waits for the run is told
  }

  async #watch(): Promise<void> {
    const { signal } = this.#over;
    const { name } = this.#compiled.plan;
    const isGone = (): Promise<boolean> =>
      presence(this.#mesh, name).then(
        (found) => found === "gone",
        () => false, // no broker
      );
    do {
      await sleep(LOOK_EVERY_MS, undefined, { signal });
    } while (!(await isGone()));
    if (signal.aborted) return;
    await this.host();
    note(`plexus: nobody else hosts graph ${name} any more; it is executed here.`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over.abort();
    await this.#waiting;
    await this.#hosted?.drain();
  }
}

/**
 * Whether somebody hosts a graph: the registry knows a process that was killed for a while, but the broker does not.
 * `silent`: those who host it do not answer.
 */
export async function presence(mesh: Mesh, graph: string): Promise<"there" | "silent" | "gone"> {
  let found: "silent" | "gone" = "gone";
  for (const { instance } of mesh.agents(graphContract(graph))) {
    // The first one that answers will do.
    const answer = await ask(mesh, instance);
    if (answer === "there") return answer;
    if (answer === "silent") found = answer;
  }
  return found;
}

async function ask(mesh: Mesh, instance: string): Promise<"there" | "silent" | "gone"> {
  for (let again = true; ; again = false) {
    try {
      await mesh.inspect(instance, { timeout: ANSWER_MS });
      return "there";
    } catch (error) {
      if (isMeshError(error, "TIMEOUT")) return "silent";
      if (!isMeshError(error, "NO_AGENT")) throw error;
      if (!again) return "gone";
    }
    await sleep(AGAIN_MS);
  }
}

/** Says so when what is executed is not what the file exports. */
async function warnOfOther(remote: RemoteGraph, { plan }: CompiledGraph): Promise<void> {
  const silent = sleep(ANSWER_MS, undefined, { ref: false });
  const asked = remote.describe().catch(() => undefined); // whoever is told to do something says why not
  const other = await Promise.race([asked, silent]);
  if (other === undefined || (other.hash === plan.hash && other.version === plan.version)) return;
  const theirs = `version ${oneLine(other.version)}, hash ${oneLine(other.hash)}`;
  note(
    `plexus: graph ${plan.name} is executed as somebody else hosts it (${theirs}), not as your file has it (version ${plan.version}, hash ${plan.hash}): serve your file in its place, or use a mesh of your own, --mesh <name>.`,
  );
}
