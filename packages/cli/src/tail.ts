import { stripVTControlCharacters } from "node:util";
import { KINDS, MeshError, toMs } from "@plexus/core";
import type { Mesh, TappedMessage } from "@plexus/mesh";
import { InvalidArgumentError, Option, type Command } from "commander";
import { countArgument, meshCommand, withMesh, type MeshOptions } from "./mesh-options.ts";
import { note, paint, print, printJson, toLine } from "./output.ts";
import { createFilter, localSubject, type TailFilter } from "./tail-filter.ts";

interface TailOptions extends MeshOptions, Omit<TailFilter, "pattern"> {
  readonly count?: number;
  readonly full?: true;
}

/** Above this a reader of stdout has fallen behind: messages are left out and counted, memory does not grow. */
const UNREAD_BYTES = 8 * 1024 * 1024;
const SHORT = 160;

/** `plexus tail` */
export function tailCommand(): Command {
  return meshCommand("tail", "show the messages of a mesh, decoded, as they pass")
    .argument(
      "[pattern]",
      "subjects without the mesh's name: evt.bars.*, rpc.analyst, ctl (default: all)",
    )
    .addOption(
      new Option("--kind <kinds>", `comma separated: ${Object.keys(KINDS).join(", ")}`).argParser(
        kindsArgument,
      ),
    )
    .option("--agent <name>", "messages to and from this agent")
    .option("--name <name>", "this capability, topic or control verb")
    .option("--sender <id>", "from senders whose id begins so")
    .option("--match <text>", "messages whose name or content contains the text")
    .option("-n, --count <n>", "end after so many messages", countArgument)
    .option("--full", "do not shorten long messages")
    .addHelpText(
      "after",
      "\nExample: plexus tail 'evt.bars.*' --match SPX --count 10\n\nWith --timeout and --count, exits 5 when fewer messages came in time. --json: one line each.",
    )
    .action((pattern: string | undefined, options: TailOptions) =>
      withMesh(options, (mesh, signal) => tail(mesh, pattern, options, signal)),
    );
}

function kindsArgument(text: string): string[] {
  const kinds = text.split(",").map((kind) => kind.trim());
  const unknown = kinds.find((kind) => !Object.hasOwn(KINDS, kind));
  if (unknown !== undefined) {
    throw new InvalidArgumentError(`"${unknown}" is none of ${Object.keys(KINDS).join(", ")}.`);
  }
  return kinds;
}

function tail(
  mesh: Mesh,
  pattern: string | undefined,
  options: TailOptions,
  signal: AbortSignal,
): Promise<void> {
  const { count = Infinity, timeout } = options;
  const wanted = createFilter(mesh, { ...options, ...(pattern === undefined ? {} : { pattern }) });
  let shown = 0;
  let leftOut = 0;
  return new Promise((resolve, reject) => {
    const end = (settle: () => void): void => {
      clearTimeout(timer);
      stop();
      if (leftOut > 0) note(`plexus tail: ${leftOut} messages left out: the reader was too slow`);
      settle();
    };
    const stop = mesh.tap((message) => {
      if (shown >= count || !wanted(message)) return;
      if (process.stdout.writableLength > UNREAD_BYTES) {
        leftOut += 1;
        return;
      }
      if (options.json) printJson(message);
      else print(describe(mesh, message, options.full === true));
      shown += 1;
      if (shown >= count) end(resolve);
    });
    const timer =
      timeout === undefined
        ? undefined
        : setTimeout(() => {
            const missing = `${shown} of ${count} messages came within ${timeout}.`;
            end(() => (count === Infinity ? resolve() : reject(new MeshError("TIMEOUT", missing))));
          }, toMs(timeout));
    signal.addEventListener("abort", () => end(resolve), { once: true });
    if (!options.json && process.stdout.isTTY) {
      note(paint("dim", `mesh ${mesh.mesh}, ${mesh.agents().length} instances; Ctrl-C ends it`));
    }
  });
}

const COLORS = {
  request: "cyan",
  response: "green",
  chunk: "green",
  error: "red",
  event: "blue",
  control: "magenta",
} as const;

/** `12:34:56.789 request   desk-1 → analyst.score  { … }` */
function describe(mesh: Mesh, message: TappedMessage, full: boolean): string {
  const time = new Date(message.sentAt / 1_000).toISOString().slice(11, 23);
  const color = (COLORS as Record<string, (typeof COLORS)[keyof typeof COLORS]>)[message.kind];
  const kind = message.kind.padEnd(8);
  const seq = message.kind === "chunk" ? `#${message.seq}` : "";
  const head = `${message.sender} → ${target(mesh, message)}${seq}`;
  const text = toLine(message.value);
  const line = `${paint("dim", time)} ${color === undefined ? kind : paint(color, kind)} ${head}  `;
  return line + (full ? text : shorten(text, roomBehind(line))).trimEnd();
}

function target(mesh: Mesh, { subject, name, recipient }: TappedMessage): string {
  const [space, first = "", ...rest] = localSubject(mesh.mesh, subject).split(".");
  switch (space) {
    case "rpc":
      return `${first}.${name}${rest[1] === "i" ? ` at ${rest[2]}` : ""}`;
    case "evt":
      return [first, ...rest].join(".");
    default:
      return `${first === "" ? (recipient ?? "") : first} ${name}`.trim();
  }
}

function roomBehind(line: string): number {
  const { columns } = process.stdout;
  const used = stripVTControlCharacters(line).length;
  return process.stdout.isTTY ? Math.max(20, columns - used) : SHORT;
}

function shorten(text: string, room: number): string {
  const plain = stripVTControlCharacters(text);
  return plain.length <= room ? text : `${plain.slice(0, room - 1)}…`;
}
