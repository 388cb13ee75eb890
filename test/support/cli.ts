import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { text } from "node:stream/consumers";
import { join } from "node:path";
import { spawnNode, type NodeProcess } from "@plexus/testing";

/** The script that `plexus` is. */
export const main = join(import.meta.dirname, "..", "..", "packages", "cli", "src", "main.ts");

/** Variables of the developer's shell that would change what the command does. */
export const neutral = Object.fromEntries(
  [
    "PLEXUS_SERVERS",
    "PLEXUS_MESH",
    "PLEXUS_NAME",
    "PLEXUS_HTTP_PORT",
    "NO_COLOR",
    "FORCE_COLOR",
    "CI",
    "PLEXUS_LLM_BASE_URL",
    "PLEXUS_LLM_MODEL",
    "PLEXUS_LLM_API_KEY",
    "PLEXUS_LLM_PROVIDER",
  ].map((name) => [name, undefined]),
);

/** How a `plexus` command ended. */
export interface CliResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `plexus ...args` to its end, on the sources. */
export async function plexus(
  args: readonly string[],
  options: { env?: Record<string, string>; input?: string } = {},
): Promise<CliResult> {
  const child = spawn(process.execPath, ["--conditions=plexus-source", main, ...args], {
    env: { ...process.env, ...neutral, ...options.env },
    stdio: "pipe",
  });
  child.stdin.end(options.input ?? "");
  const ended = once(child, "exit") as Promise<[number | null]>;
  const [stdout, stderr, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    ended,
  ]);
  return { code, stdout, stderr };
}

/** Starts `plexus ...args`, which runs until it is told to end. It dies with this process. */
export function startPlexus(
  args: readonly string[],
  env: Record<string, string | undefined> = {},
): NodeProcess {
  return spawnNode(main, { args: [...args], env: { ...neutral, ...env } });
}

/** Whether a process is there and no zombie. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    const stat = process.platform === "linux" ? readFileSync(`/proc/${pid}/stat`, "utf8") : "";
    return !/\) [ZX] /.test(stat);
  } catch {
    return false;
  }
}
