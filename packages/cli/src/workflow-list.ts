import type { Mesh, ThreadSummary } from "@plexus/mesh";
import { graphContract } from "@plexus/workflow";
import { Option, type Command } from "commander";
import { countArgument, meshCommand, withMesh, type MeshOptions } from "./mesh-options.ts";
import { oneLine, paint, print, printJson, table, uptime } from "./output.ts";
import { ago } from "./topic-list.ts";
import { knownGraphs, nobodyHosts } from "./workflow-known.ts";
import { graphArgument, graphName } from "./workflow-target.ts";

interface ListOptions extends MeshOptions {
  readonly state?: State;
  readonly limit?: number;
}

type State = "busy" | "waiting" | "asleep" | "over" | "failed" | "canceled";

interface Row extends Omit<ThreadSummary, "state"> {
  readonly graph: string;
  readonly state: State;
  /** When one that is asleep goes on by itself: ms since the epoch. */
  readonly until?: number;
}

const HEADER = ["GRAPH", "THREAD", "STATE", "RECORDS", "CHANGED"];
const COLORS = {
  busy: "cyan",
  waiting: "yellow",
  asleep: "blue",
  over: "dim",
  failed: "red",
  canceled: "dim",
} as const;
const DEFAULT_LIMIT = 100;

/** `plexus workflow ls` */
export function workflowListCommand(): Command {
  return meshCommand("ls", "list the threads of a graph, or of all graphs, whoever hosts them")
    .argument("[graph]", "only those of this graph")
    .addOption(
      new Option("--state <state>", "only those in this state").choices(Object.keys(COLORS)),
    )
    .option(
      "-n, --limit <n>",
      `those that changed last, so many (default: ${DEFAULT_LIMIT})`,
      countArgument,
    )
    .addHelpText(
      "after",
      "\nSTATE is busy, waiting (for an answer or an event), asleep (it goes on by itself), failed, canceled or over. The last to change come last. With --json: one array.",
    )
    .action(async (argument: string | undefined, options: ListOptions) => {
      const wanted = argument === undefined ? undefined : graphName(await graphArgument(argument));
      await withMesh(options, async (mesh) => {
        const rows = await threadsOf(mesh, wanted, options);
        if (options.json) printJson(rows);
        else if (rows.length === 0) print(`No such threads in mesh ${mesh.mesh}.`);
        else for (const line of table(HEADER, rows.map(cells))) print(line);
      });
    });
}

async function threadsOf(
  mesh: Mesh,
  wanted: string | undefined,
  { state, limit = DEFAULT_LIMIT }: ListOptions,
): Promise<Row[]> {
  const known = await knownGraphs(mesh);
  if (wanted !== undefined && !known.includes(wanted)) {
    throw await nobodyHosts(mesh, wanted);
  }
  const rows: Row[] = [];
  for (const graph of wanted === undefined ? known : [wanted]) {
    for await (const thread of mesh.threads(graphContract(graph)).summaries()) {
      const row = { graph, ...thread, ...standing(thread) };
      if (state === undefined || row.state === state) rows.push(row);
    }
  }
  return rows.toSorted((a, b) => a.at - b.at || a.position - b.position).slice(-limit);
}

function standing({ state }: ThreadSummary): Pick<Row, "state" | "until"> {
  return typeof state === "string" ? { state } : { state: "asleep", until: state.until };
}

function cells({ graph, thread, state, until, position, at }: Row): string[] {
  const left = until === undefined ? "" : ` for ${uptime((until - Date.now()) / 1_000)}`;
  return [
    oneLine(graph),
    paint("bold", oneLine(thread)),
    paint(COLORS[state], state + left),
    String(position),
    ago(at),
  ];
}
