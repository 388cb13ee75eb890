import type { TaskState } from "@plexus/core";
import type { ListTasksOptions, TaskStatus } from "@plexus/mesh";
import { Option, type Command } from "commander";
import {
  countArgument,
  meshCommand,
  nameArgument,
  withMesh,
  type MeshOptions,
} from "./mesh-options.ts";
import { oneLine, paint, print, printJson, shorten, table, uptime } from "./output.ts";

interface TaskListOptions extends MeshOptions, Omit<ListTasksOptions, "signal"> {}

const HEADER = ["TASK", "AGENT", "CAPABILITY", "STATE", "ATTEMPT", "WHEN", "INSTANCE", "NOTE"];
const STATES: Record<TaskState, Parameters<typeof paint>[0]> = {
  submitted: "yellow",
  working: "cyan",
  completed: "green",
  failed: "red",
  canceled: "dim",
  rejected: "red",
};
const MAX_NOTE = 60;

/** `plexus task ls` */
export function taskListCommand(): Command {
  return meshCommand("ls", "list tasks: queued, worked on, and ended as long as results are kept")
    .option("--agent <name>", "only those of this agent", nameArgument)
    .option("--capability <name>", "only those of this capability", nameArgument)
    .addOption(
      new Option("--state <state>", "only those in this state").choices(Object.keys(STATES)),
    )
    .option("-n, --limit <n>", "those that changed last, so many (default: 100)", countArgument)
    .addHelpText("after", "\nThe last to change come last. With --json: one array.")
    .action(({ agent, capability, state, limit, ...options }: TaskListOptions) =>
      withMesh(options, async (mesh, signal) => {
        const tasks = await mesh.listTasks({
          signal,
          ...(agent === undefined ? {} : { agent }),
          ...(capability === undefined ? {} : { capability }),
          ...(state === undefined ? {} : { state }),
          ...(limit === undefined ? {} : { limit }),
        });
        if (options.json) printJson(tasks);
        else if (tasks.length === 0) print(`No tasks in mesh ${mesh.mesh}.`);
        else for (const line of table(HEADER, tasks.map(row))) print(line);
      }),
    );
}

/** The state of a task in its colour. */
export function paintState(state: TaskState): string {
  return paint(STATES[state], state);
}

/** When a task has ended, is due or was submitted: `ended 2m ago`. */
export function timing({ endedAt, dueAt, submittedAt }: TaskStatus): string {
  if (endedAt !== undefined) return `ended ${age(endedAt)} ago`;
  if (dueAt !== undefined) return dueAt <= Date.now() ? "due now" : `due in ${age(dueAt)}`;
  return submittedAt === undefined ? "-" : `submitted ${age(submittedAt)} ago`;
}

function age(atMs: number): string {
  return uptime(Math.abs(Date.now() - atMs) / 1_000);
}

/** What is worth saying of a task: why it failed, or how far it is. */
export function remark({ error, progress, note }: TaskStatus): string {
  if (error) return `${error.code}: ${error.message}`;
  if (progress === undefined) return "";
  return `${Math.round(progress * 100)} %${note === undefined ? "" : ` ${note}`}`;
}

function row(task: TaskStatus): string[] {
  return [
    paint("bold", task.id),
    task.agent,
    task.capability,
    paintState(task.state),
    String(task.attempt),
    timing(task),
    task.instance ?? "-",
    shorten(oneLine(remark(task)), MAX_NOTE),
  ];
}
