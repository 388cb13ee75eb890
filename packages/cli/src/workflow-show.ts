import {
  diffStates,
  type RemoteGraph,
  type StateDifference,
  type StateSnapshot,
} from "@plexus/workflow";
import { InvalidArgumentError, type Command } from "commander";
import { UsageError } from "./exit-codes.ts";
import { meshCommand, withMesh, type MeshOptions } from "./mesh-options.ts";
import { oneLine, paint, print, printJson, shorten, table, toLine } from "./output.ts";
import { ago } from "./topic-list.ts";
import { aboutGraph } from "./workflow-known.ts";
import { openWaits } from "./workflow-outcome.ts";
import { graphArgument, nextCommands, openGraph, type NextCommand } from "./workflow-target.ts";

interface ShowOptions extends MeshOptions {
  readonly checkpoint?: number;
  readonly diff?: readonly number[];
  readonly history?: true;
}

const HEADER = ["CHECKPOINT", "STEP", "STATUS", "NEXT", "WHEN"];
const COLORS = {
  idle: "dim",
  running: "cyan",
  waiting: "yellow",
  completed: "green",
  compensating: "magenta",
  failed: "red",
  canceled: "dim",
} as const;
/** Checkpoints that are shown without being asked for. */
const LAST = 5;

/** `plexus workflow show` */
export function workflowShowCommand(): Command {
  return meshCommand(
    "show",
    "show how a thread stands, what it asks, its state and its checkpoints",
  )
    .argument("<graph>", "its name, or its file")
    .argument("<thread>", "which one")
    .option("--checkpoint <n>", "as it was then", checkpointArgument)
    .option("--diff <checkpoints...>", "what has changed between two checkpoints", collect)
    .option("--history", "all checkpoints, newest first")
    .addHelpText(
      "after",
      `
Reads what is recorded: nobody need host the graph, unless it has reducers of its own and is named by its name. Values are shortened; with --json
they are whole: one object, with --history and --diff an array.`,
    )
    .action(async (argument: string, thread: string, options: ShowOptions, command: Command) => {
      const { checkpoint, diff, history, json } = options;
      if (diff !== undefined && diff.length !== 2) {
        throw new UsageError("--diff takes two checkpoints, and stands behind the thread.");
      }
      const target = await graphArgument(argument);
      await withMesh(options, async (mesh) => {
        const graph = openGraph(mesh, target);
        return aboutGraph(mesh, graph.name, async () => {
          if (diff !== undefined)
            return showDifferences(await differences(graph, thread, diff), json);
          if (history) return showHistory(await graph.getStateHistory(thread), json);
          const state = await graph.getState(
            thread,
            checkpoint === undefined ? {} : { checkpoint },
          );
          if (json) return printJson({ graph: graph.name, ...state });
          show(graph.name, state, nextCommands(command, argument, thread));
          if (checkpoint !== undefined) return;
          const checkpoints = await graph.getStateHistory(thread, { limit: LAST + 1 });
          print("");
          showHistory(checkpoints.slice(0, LAST));
          if (checkpoints.length > LAST) print(paint("dim", "older ones: --history"));
        });
      });
    });
}

/** The text of an argument that is a checkpoint. */
export function checkpointArgument(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError("Use a checkpoint's number.");
  return Number(text);
}

function collect(text: string, before: readonly number[] = []): number[] {
  return [...before, checkpointArgument(text)];
}

async function differences(
  graph: RemoteGraph,
  thread: string,
  checkpoints: readonly number[],
): Promise<StateDifference[]> {
  const states = checkpoints.map((checkpoint) => graph.getState(thread, { checkpoint }));
  const [before, after] = await Promise.all(states);
  return diffStates(before!, after!);
}

function showDifferences(found: readonly StateDifference[], json: true | undefined): void {
  if (json) printJson(found);
  else if (found.length === 0) print("The states are equal.");
  for (const { channel, before, after } of json ? [] : found) {
    print(paint("bold", oneLine(channel)));
    print(paint("red", `- ${brief(before)}`));
    print(paint("green", `+ ${brief(after)}`));
  }
}

function showHistory(checkpoints: readonly StateSnapshot[], json?: true): void {
  if (json) printJson(checkpoints);
  else for (const line of table(HEADER, checkpoints.map(row))) print(line);
}

function brief(value: unknown): string {
  return value === undefined ? "(nothing)" : shorten(toLine(value));
}

function row({ checkpoint, step, status, next, at }: StateSnapshot): string[] {
  const nodes = shorten(next.map(oneLine).join(", "), 60);
  return [String(checkpoint), String(step), paint(COLORS[status], status), nodes || "-", ago(at)];
}

function show(name: string, state: StateSnapshot, next: NextCommand): void {
  const { thread, run, status, step, checkpoint, at, values, error } = state;
  print(
    `${paint("bold", oneLine(thread))}  of ${name}  ${paint(COLORS[status], status)}  changed ${ago(at)}`,
  );
  print(`run ${oneLine(run) || "-"}, step ${step}, checkpoint ${checkpoint}`);
  if (state.next.length > 0) print(`next: ${shorten(state.next.map(oneLine).join(", "))}`);
  if (error) print(oneLine(`${error.code}: ${error.message}`));
  for (const line of openWaits(state, next, true)) print(line);
  const channels = Object.entries(values).map(([channel, value]) => [
    oneLine(channel),
    brief(value),
  ]);
  if (channels.length > 0) print("");
  for (const line of table(["CHANNEL", "VALUE"], channels)) print(line);
}
