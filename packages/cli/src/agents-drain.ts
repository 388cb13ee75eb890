import { MeshError, toMs, type Duration } from "@plexus/core";
import type { Mesh } from "@plexus/mesh";
import type { Command } from "commander";
import { findInstance } from "./find-instance.ts";
import { meshCommand, withMesh, type MeshOptions } from "./mesh-options.ts";
import { print, printJson } from "./output.ts";

const DEFAULT_TIMEOUT = "60s";

/** `plexus agents drain` */
export function drainCommand(): Command {
  return meshCommand("drain", "let an instance finish what it has and leave the mesh")
    .argument("<instance>", "its id, or the beginning of it")
    .addHelpText(
      "after",
      "\nReturns when it has left. Its process goes on; stop that as you started it.",
    )
    .action((name: string, options: MeshOptions) =>
      withMesh(options, async (mesh, signal) => {
        const { instance } = findInstance(mesh, name);
        const startedMs = performance.now();
        await drain(mesh, instance, options.timeout ?? DEFAULT_TIMEOUT, signal);
        const ms = Math.round(performance.now() - startedMs);
        if (options.json) printJson({ drained: instance, ms });
        else print(`${instance} has left mesh ${mesh.mesh} (${ms} ms)`);
      }),
    );
}

async function drain(
  mesh: Mesh,
  instance: string,
  timeout: Duration,
  signal: AbortSignal,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const stop = mesh.watch((change) => {
    if (change.type === "left" && change.instance.instance === instance) resolve();
  });
  const timer = setTimeout(() => {
    const text = `${instance} was told to drain, but has not left within ${timeout}.`;
    reject(new MeshError("TIMEOUT", text));
  }, toMs(timeout));
  const abort = (): void => reject(signal.reason as Error);
  signal.addEventListener("abort", abort, { once: true });
  try {
    await Promise.all([mesh.drain(instance, { timeout }), promise]);
  } finally {
    stop();
    clearTimeout(timer);
    signal.removeEventListener("abort", abort);
  }
}
