import { toMs, token, type Duration } from "@plexus/core";
import {
  DEFAULT_SERVER,
  connect,
  parseServers,
  type Logger,
  type Mesh,
  type ServerOptions,
} from "@plexus/mesh";
import { Command, InvalidArgumentError, Option } from "commander";
import { UsageError } from "./exit-codes.ts";
import { fired, interruptible } from "./interrupt.ts";
import { harmless, note } from "./output.ts";

/** The options that every command takes, before or behind its name. */
export interface MeshOptions {
  readonly server?: string;
  readonly mesh?: string;
  readonly json?: true;
  readonly timeout?: Duration;
}

export function meshOptions(): Option[] {
  return [
    new Option("--server <urls>", `NATS servers, comma separated (default: ${DEFAULT_SERVER})`).env(
      "PLEXUS_SERVERS",
    ),
    new Option("--mesh <name>", "which mesh to join (default: plexus)")
      .env("PLEXUS_MESH")
      .argParser((text) => nameArgument(text)),
    new Option(
      "--timeout <duration>",
      'how long to wait at most, such as "500ms" or "5s"',
    ).argParser(durationArgument),
    new Option("--json", "machine-readable output"),
  ];
}

/** A command that has the options of {@link MeshOptions}. */
export function meshCommand(name: string, description: string): Command {
  const command = new Command(name).description(description);
  for (const option of meshOptions()) command.addOption(option);
  return command;
}

/** The text of a duration option. */
export function durationArgument(text: string): Duration {
  const duration = (/^\d+$/.test(text) ? Number(text) : text) as Duration;
  try {
    toMs(duration);
    return duration;
  } catch {
    throw new InvalidArgumentError('Use milliseconds, or "500ms", "5s", "2m".');
  }
}

/** The text of an argument that is the name of an agent, capability or mesh. */
export function nameArgument(text: string): string {
  try {
    return token("Name", text);
  } catch {
    throw new InvalidArgumentError("Use 1 to 63 of the characters A-Z a-z 0-9 _ -.");
  }
}

/** A whole number of 1 or more. */
export function countArgument(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError("Use a whole number from 1.");
  return Number(text);
}

/** Where and as whom to connect. Throws a `UsageError` for what is no address. */
export function serverOptions(server: string = DEFAULT_SERVER): ServerOptions {
  try {
    return parseServers(server);
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

/** Joins the mesh as a bystander while `work` runs; Ctrl-C fires its signal. */
export function withMesh<T>(
  options: MeshOptions,
  work: (mesh: Mesh, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  return interruptible(async (signal) => {
    const joining = joinMesh(options);
    const joined = await Promise.race([joining, fired(signal)]);
    if (joined === undefined) {
      joining.catch(() => undefined); // nobody waits for it any more
      throw signal.reason;
    }
    await using mesh = joined;
    return await work(mesh, signal); // before the mesh is closed
  });
}

/** @param say where the runtime's warnings go */
export function joinMesh(
  { server, mesh, timeout }: MeshOptions,
  say: (line: string) => void = note,
): Promise<Mesh> {
  return connect({
    ...serverOptions(server),
    ...(mesh === undefined ? {} : { mesh }),
    ...(timeout === undefined ? {} : { timeout: Math.min(toMs(timeout), 5_000) }),
    name: "cli",
    http: false,
    log: readableLog(say),
  });
}

/** What the runtime has to say, for a person at a terminal. */
function readableLog(say: (line: string) => void): Logger {
  const log: Logger = {
    debug: () => undefined,
    info: () => undefined,
    warn: (_fields, message) => say(harmless(`plexus: ${message}`)),
    error: (fields, message) => {
      const { err } = fields as { err?: Error };
      say(harmless(`plexus: ${message}${err === undefined ? "" : `: ${err.message}`}`));
    },
    child: () => log,
  };
  return log;
}
