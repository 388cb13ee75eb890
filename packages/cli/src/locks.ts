import type { LockInfo, LockWaiter, Mesh } from "@plexus/mesh";
import type { Command } from "commander";
import { meshCommand, withMesh, type MeshOptions } from "./mesh-options.ts";
import { oneLine, paint, print, printJson, table, uptime } from "./output.ts";

const HEADER = ["LOCK", "WHO", "STATE", "FOR", "TOKEN", "INTENT"];

/** `plexus locks` */
export function locksCommand(): Command {
  return meshCommand("locks", "show who holds and who waits for locks, since when and what for")
    .addHelpText(
      "after",
      "\nThose who wait are shown in the order in which they get the lock. TOKEN is the holder's fencing token.",
    )
    .action((options: MeshOptions) => withMesh(options, (mesh) => show(mesh, options)));
}

async function show(mesh: Mesh, { json }: MeshOptions): Promise<void> {
  const locks = await mesh.locks();
  if (json) {
    printJson(locks);
    return;
  }
  if (locks.length === 0) {
    print(`No locks in mesh ${mesh.mesh}.`);
    return;
  }
  for (const line of table(HEADER, locks.flatMap(rows))) print(line);
}

function rows({ name, holder, waiters }: LockInfo): string[][] {
  const held = holder ? row(holder, paint("green", "holds"), String(holder.token)) : FREE;
  const waiting = waiters.map((waiter) => ["", ...row(waiter, paint("yellow", "waits"), "-")]);
  return [[paint("bold", oneLine(name)), ...held], ...waiting];
}

const FREE = ["-", "free", "-", "-", ""];

function row({ client, since, intent }: LockWaiter, state: string, token: string): string[] {
  return [oneLine(client), state, uptime((Date.now() - since) / 1_000), token, oneLine(intent)];
}
