import { note, paint, print, printJson } from "./output.ts";
import { LastWords } from "./last-words.ts";
import type { ProcessEvent } from "./supervisor.ts";

/** What `plexus dev` tells. */
export type DevEvent =
  | ProcessEvent
  | {
      readonly event: "broker";
      readonly mesh: string;
      readonly url: string;
      readonly embedded: boolean;
      readonly version?: string;
    }
  | {
      readonly event: "ready";
      readonly process: string;
      readonly agent: string;
      readonly instance: string;
    }
  | {
      readonly event: "reloading";
      readonly files: readonly string[];
      readonly processes: readonly string[];
    }
  | { readonly event: "mesh-file-changed"; readonly file: string }
  | { readonly event: "stopping" };

/** Where the events go. */
export interface DevView {
  readonly show: (event: DevEvent) => void;
}

const HOLD_MS = 1_000; // a stack is written in the last moment of a process

const COLORS = ["cyan", "magenta", "yellow", "blue", "green", "redBright"] as const;

/** Prefixed, coloured lines, or one JSON document per line. */
export function devView(processes: readonly string[], json: boolean): DevView {
  if (json) return { show: (event) => printJson({ time: new Date().toISOString(), ...event }) };
  const width = Math.max(...processes.map((name) => name.length), "plexus".length);
  const prefix = new Map(
    processes.map((name, index) => [
      name,
      paint(COLORS[index % COLORS.length]!, `${name.padEnd(width)} │`),
    ]),
  );
  const own = paint("dim", `${"plexus".padEnd(width)} │`);
  const words = new Map(processes.map((name) => [name, new LastWords()]));
  return {
    show: (event) => {
      if (event.event === "stopping") {
        note(`${own} ${describe(event)}`);
        return;
      }
      const process = "process" in event ? event.process : "";
      const head = prefix.get(process) ?? own;
      for (const line of linesOf(event, words.get(process), (late) => print(`${head} ${late}`))) {
        print(`${head} ${line}`);
      }
    },
  };
}

/** How an event reads. What a process repeats on its way into the same crash is held back, for a moment at least. */
function linesOf(
  event: DevEvent,
  words: LastWords | undefined,
  later: (line: string) => void,
): string[] {
  const line = describe(event);
  if (words === undefined) return [line];
  if (event.event === "line" && event.stream === "stderr") {
    const held = words.holding;
    const lines = words.say(line);
    if (!held && words.holding) {
      setTimeout(() => words.release().forEach((late) => later(late)), HOLD_MS).unref();
    }
    return lines;
  }
  if (event.event === "line") return [line];
  if (event.event === "crashed" && words.crash()) {
    return [`${line}, ${paint("dim", "with the same words as before")}`];
  }
  const lines = [...words.release(), line];
  if (event.event === "started") words.begin();
  return lines;
}

function describe(event: DevEvent): string {
  switch (event.event) {
    case "broker": {
      const server = event.embedded ? `embedded nats-server ${event.version}` : "the broker";
      return `mesh ${paint("bold", event.mesh)} on ${server} at ${event.url}`;
    }
    case "started":
      return paint("dim", `started, pid ${event.pid}`);
    case "ready":
      return `${paint("green", "ready")} as ${event.instance}`;
    case "line":
      return logLine(event.line);
    case "stopped":
      return event.signal === "SIGKILL"
        ? paint("yellow", "killed: it did not stop in time")
        : paint("dim", "stopped");
    case "ended":
      return paint("dim", "ended with exit code 0: its work is done");
    case "crashed":
      return paint("red", `crashed: ${event.signal ?? `exit code ${event.code}`}`);
    case "restarting":
      return paint("yellow", `starts again in ${event.inMs} ms (attempt ${event.attempt})`);
    case "reloading":
      return `${event.files.map((file) => file.split("/").at(-1)).join(", ")} changed: reloading ${event.processes.join(", ")}`;
    case "mesh-file-changed":
      return paint("yellow", `${event.file} changed: start plexus dev again to apply it`);
    default:
      return "stopping: processes drain first; Ctrl-C again kills them";
  }
}

const LEVELS: Record<number, [string, "yellow" | "red" | "dim"]> = {
  40: ["warn", "yellow"],
  50: ["error", "red"],
  60: ["fatal", "red"],
};

/** Agents log JSON (pino); a person reads level and message. */
function logLine(line: string): string {
  if (!line.startsWith('{"level":')) return line;
  try {
    const entry = JSON.parse(line) as { level: number; msg?: string; err?: { message?: string } };
    const [level, color] = LEVELS[entry.level] ?? ["log", "dim"];
    const cause = entry.err?.message === undefined ? "" : `: ${entry.err.message}`;
    return `${paint(color, level)} ${entry.msg ?? ""}${cause}`;
  } catch {
    return line;
  }
}
