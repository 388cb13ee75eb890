import { MeshError, Workspaces, isMeshError, toMs } from "@plexus/core";
import type { Mesh, Workspace } from "@plexus/mesh";
import { InvalidArgumentError, type Command } from "commander";
import { withRemedy } from "./failure.ts";
import { meshCommand, nameArgument, withMesh, type MeshOptions } from "./mesh-options.ts";

/** Options of every command on a workspace. */
export interface WorkspaceCommandOptions extends MeshOptions {
  readonly agent?: string;
}

const HOST_TIMEOUT = "5s";

/** A command whose first argument is a workspace. */
export function onWorkspace(name: string, description: string): Command {
  return meshCommand(name, description).argument("<workspace>", "which workspace", nameArgument);
}

/** Runs `work` on a workspace, once somebody hosts workspaces. Rejects with `NO_AGENT` if nobody does. */
export function withWorkspace<T>(
  options: WorkspaceCommandOptions,
  name: string,
  work: (repo: Workspace, signal: AbortSignal, mesh: Mesh) => Promise<T>,
): Promise<T> {
  return withMesh(options, async (mesh, signal) => {
    const timeout = toMs(options.timeout ?? HOST_TIMEOUT);
    await mesh.waitFor(Workspaces, { timeout, signal }).catch((error: unknown) => {
      if (!isMeshError(error, "NO_AGENT")) throw error;
      const text = `Nobody hosts the workspaces of mesh ${mesh.mesh}. \`plexus workspace serve\` does.`;
      throw new MeshError("NO_AGENT", text, { cause: error });
    });
    const { agent = process.env["USER"] ?? "cli" } = options;
    return work(mesh.workspace(name, { agent }), signal, mesh);
  });
}

/** What `work` looks for is no file but something else, which another command lists: its `NO_FILE` names that one. */
export async function listedBy<T>(
  command: "conflicts" | "log",
  workspace: string,
  work: Promise<T>,
): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (!isMeshError(error, "NO_FILE")) throw error;
    throw withRemedy(error, `\`plexus workspace ${command} ${workspace}\` shows what there is.`);
  }
}

/** The number of a version. */
export function versionArgument(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError("Use the number of a version.");
  return Number(text);
}

/** The first characters of a hash, as people read them. */
export function short(hash: string | undefined): string {
  return hash === undefined ? "-" : hash.slice(0, 10);
}
