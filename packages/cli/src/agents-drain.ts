import { setTimeout as sleep } from "node:timers/promises";
import { MeshError, isMeshError, toMs, type Duration } from "@plexus/core";
import type { InstanceReport, Mesh } from "@plexus/mesh";
import type { Command } from "commander";
import { findInstance } from "./find-instance.ts";
import { fired } from "./interrupt.ts";
import { meshCommand, withMesh, type MeshOptions } from "./mesh-options.ts";
import { note, print, printJson } from "./output.ts";

const DEFAULT_TIMEOUT = "60s";
const LOOK_EVERY_MS = 100;
const TELL_EVERY_MS = 5_000;
const ANSWER_MS = 1_000;

/** `plexus agents drain` */
export function drainCommand(): Command {
  return meshCommand("drain", "let an instance finish what it has and leave the mesh")
    .argument("<instance>", "its id, or the beginning of it")
    .addHelpText(
      "after",
      "\nReturns when it has left and nothing of it runs any more, neither calls nor tasks. Its process goes on; stop that as you started it.",
    )
    .action((name: string, options: MeshOptions) =>
      withMesh(options, async (mesh, signal) => {
        const instance = await find(mesh, name);
        const startedMs = performance.now();
        const say = options.json ? () => undefined : note;
        await drain(mesh, instance, options.timeout ?? DEFAULT_TIMEOUT, signal, say);
        const ms = Math.round(performance.now() - startedMs);
        if (options.json) printJson({ drained: instance, ms });
        else print(`${instance} has left mesh ${mesh.mesh} (${ms} ms)`);
      }),
    );
}

/** The id of the instance that is meant: one in the registry, or one that has left it and is not done yet. */
async function find(mesh: Mesh, name: string): Promise<string> {
  try {
    return findInstance(mesh, name).instance;
  } catch (error) {
    if (!isMeshError(error, "NO_AGENT")) throw error;
    const leaving = await mesh.inspect(name).catch(() => undefined);
    if (leaving === undefined) throw error;
    return name;
  }
}

/** An instance leaves the registry first, and answers until it has drained. */
async function drain(
  mesh: Mesh,
  instance: string,
  timeout: Duration,
  signal: AbortSignal,
  say: (line: string) => void,
): Promise<void> {
  const untilMs = performance.now() + toMs(timeout);
  let toldMs = -Infinity;
  await Promise.race([mesh.drain(instance, { timeout }), fired(signal)]);
  for (;;) {
    signal.throwIfAborted();
    const listed = mesh.agents().some((one) => one.instance === instance);
    const report = await look(mesh, instance);
    if (!listed && report === "gone") return;
    const rest = typeof report === "object" ? unfinished(report) : undefined;
    const now = performance.now();
    if (now >= untilMs) {
      const what = listed ? "has not left" : `has not finished ${rest ?? "what it has"}`;
      const text = `${instance} was told to drain, but ${what} within ${toMs(timeout)} ms.`;
      throw new MeshError("TIMEOUT", text);
    }
    if (!listed && rest !== undefined && now - toldMs >= TELL_EVERY_MS) {
      toldMs = now;
      say(`${instance} takes nothing new and finishes ${rest}`);
    }
    await sleep(Math.min(LOOK_EVERY_MS, untilMs - now), undefined, { signal });
  }
}

/** Undefined: it may be busy, or the connection is broken for a moment. */
async function look(mesh: Mesh, instance: string): Promise<InstanceReport | "gone" | undefined> {
  try {
    return await mesh.inspect(instance, { timeout: ANSWER_MS });
  } catch (error) {
    if (isMeshError(error, "NO_AGENT")) return "gone";
    if (isMeshError(error, "TIMEOUT") || isMeshError(error, "NOT_CONNECTED")) return undefined;
    throw error;
  }
}

/** What an instance still works on, in words. */
function unfinished({ running, queued, tasks }: InstanceReport): string | undefined {
  const parts = [
    [running + queued, "call"],
    [tasks?.running ?? 0, "task"],
  ] as const;
  const words = parts
    .filter(([count]) => count > 0)
    .map(([count, what]) => `${count} ${what}${count === 1 ? "" : "s"}`);
  return words.length === 0 ? undefined : words.join(" and ");
}
