import { resolve } from "node:path";
import { CompiledGraph, StateGraph } from "@plexus/workflow";
import { UsageError } from "./exit-codes.ts";
import { fileExists, loadModule } from "./load-module.ts";

/** Whether an argument names a file and no graph: names of graphs have no dots and slashes. */
export function isGraphFile(argument: string): boolean {
  return /[./\\]/.test(argument);
}

/** The graphs that a file exports, compiled or not, by their names. @throws UsageError if there are none, or two of one name */
export async function loadGraphs(path: string): Promise<Map<string, CompiledGraph>> {
  if (!(await fileExists(resolve(path)))) throw new UsageError(`There is no file ${path}.`);
  const exported = await loadModule(path);
  const graphs = new Map<string, CompiledGraph>();
  for (const value of Object.values(exported)) {
    const graph = compiled(value);
    if (graph === undefined) continue;
    const { name } = graph.plan;
    const known = graphs.get(name);
    if (known !== undefined && known !== graph) {
      throw new UsageError(
        `${path} exports two graphs named ${name}: give them names, new StateGraph(channels, { name }).`,
      );
    }
    graphs.set(name, graph);
  }
  if (graphs.size > 0) return graphs;
  for (const [name, value] of Object.entries(exported)) {
    const why = whyForeign(value);
    if (why !== undefined) throw new UsageError(`${path} exports ${name}, ${why}.`);
  }
  const names = Object.keys(exported);
  const what = names.length === 0 ? "nothing" : `no graph, only ${names.join(", ")}`;
  throw new UsageError(
    `${path} exports ${what}. Export what \`new StateGraph(…)\` or \`.compile()\` returns.`,
  );
}

/** The graph that `file.ts` exports, or `file.ts#name` of several. */
export async function loadGraph(argument: string): Promise<CompiledGraph> {
  const [path = "", name] = argument.split("#");
  const graphs = await loadGraphs(path);
  const graph = name === undefined && graphs.size === 1 ? [...graphs.values()][0] : undefined;
  const found = graph ?? graphs.get(name ?? "");
  if (found !== undefined) return found;
  const choices = [...graphs.keys()].map((one) => `${path}#${one}`).join(", ");
  throw new UsageError(
    name === undefined
      ? `${path} exports several graphs. Say which one: ${choices}.`
      : `${path} exports no graph ${name}. There is: ${choices}.`,
  );
}

/** Why something that looks like a graph is none here; undefined for what does not look like one. */
function whyForeign(value: unknown): string | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { name } = value.constructor ?? Object; // some objects have none
  if (!/^(StateGraph|CompiledGraph|CompiledStateGraph)$/.test(name)) return undefined;
  return "plan" in value || "addSubgraph" in value
    ? "a graph of another copy of @plexus/workflow than this command's: run the command that is installed beside it, with npx"
    : "a graph of LangGraph.js: build it with @plexus/workflow, or host it as an agent with langGraphHandlers()";
}

/** Graphs by what each export was before it was compiled: the same graph may be exported twice. */
const compilations = new WeakMap<object, CompiledGraph>();

function compiled(value: unknown): CompiledGraph | undefined {
  if (value instanceof CompiledGraph) return value as CompiledGraph;
  if (!(value instanceof StateGraph)) return undefined;
  const known = compilations.get(value) ?? (value.compile() as CompiledGraph);
  compilations.set(value, known);
  return known;
}
