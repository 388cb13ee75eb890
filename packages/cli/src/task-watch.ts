import { fromWireError } from "@plexus/core";
import type { TaskEvent } from "@plexus/mesh";
import type { Command } from "commander";
import { exitCodeOf } from "./exit-codes.ts";
import { meshCommand, withMesh, type MeshOptions } from "./mesh-options.ts";
import { oneLine, paint, print, printJson } from "./output.ts";
import { paintState, timing } from "./task-list.ts";

const FOREVER = "24d"; // about the longest that a timer can wait
const BAR_WIDTH = 30;
const DEFAULT_COLUMNS = 80; // some terminals do not tell

/** `plexus task watch` */
export function taskWatchCommand(): Command {
  return meshCommand("watch", "show what happens to a task, until it ends")
    .argument("<task>", "its id")
    .addHelpText(
      "after",
      `
Exits 0 when it has completed, otherwise with the code of its error. With --json: one line per event, after a line
{"type":"status", …} that tells where it stands.`,
    )
    .action((id: string, options: MeshOptions) =>
      withMesh(options, async (mesh, signal) => {
        const task = mesh.task(id);
        const status = await task.status();
        if (options.json) printJson({ type: "status", ...status });
        else {
          const { agent, capability, state } = status;
          print(
            `${paint("bold", id)}  ${agent}.${capability}  ${paintState(state)}  ${timing(status)}`,
          );
        }
        const view = options.json ? { show: printJson, close: () => undefined } : eventView();
        try {
          for await (const event of task.events({ signal, timeout: options.timeout ?? FOREVER })) {
            view.show(event);
            if (event.type !== "finished" || event.error === undefined) continue;
            process.exitCode = exitCodeOf(fromWireError(event.error));
          }
        } finally {
          view.close();
        }
      }),
    );
}

interface EventView {
  show(event: TaskEvent): void;
  /** Removes what was shown for the moment only. */
  close(): void;
}

/** Lines; on a terminal, progress is a bar in the last one. */
function eventView(): EventView {
  const { stdout } = process;
  if (!stdout.isTTY) return { show: (event) => print(line(event)), close: () => undefined };
  let drawn = false;
  const erase = (): void => {
    if (drawn) stdout.write("\r\u001B[K");
    drawn = false;
  };
  return {
    show(event) {
      erase();
      if (event.type === "progress") {
        stdout.write(bar(event).slice(0, (stdout.columns || DEFAULT_COLUMNS) - 1));
        drawn = true;
      } else print(line(event));
    },
    close: erase,
  };
}

function bar({ fraction, note = "" }: TaskEvent & { type: "progress" }): string {
  const full = Math.round(fraction * BAR_WIDTH);
  const percent = `${Math.round(fraction * 100)} %`.padStart(5);
  return `${"█".repeat(full)}${"░".repeat(BAR_WIDTH - full)} ${percent} ${oneLine(note.replaceAll(/\s+/g, " "))}`;
}

function line(event: TaskEvent): string {
  const time = paint("dim", new Date().toISOString().slice(11, 19));
  return `${time} ${describe(event)}`;
}

function describe(event: TaskEvent): string {
  const who = `attempt ${event.attempt} (${event.instance})`;
  if (event.type === "started") return `started ${who}`;
  if (event.type === "reassigned")
    return `reassigned ${who}: the instance before was lost or hangs`;
  if (event.type === "progress") {
    return `${Math.round(event.fraction * 100)} % ${oneLine(event.note ?? "")}`.trimEnd();
  }
  const why =
    event.error === undefined ? "" : `: ${event.error.code}: ${oneLine(event.error.message)}`;
  if (event.type === "retried") return `failed ${who}${why}; tried again in ${event.delayMs} ms`;
  return `${paintState(event.state)} ${who}${why}`;
}
