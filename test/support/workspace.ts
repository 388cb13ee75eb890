import { isMeshError, type MeshError } from "@plexus/core";
import type { ExplainedClash, Workspace } from "@plexus/mesh";
import type { TestMeshes } from "./mesh.ts";

/** A mesh that hosts workspaces, and one workspace as several agents see it. */
export async function openWorkspace<const Agents extends readonly string[]>(
  meshes: TestMeshes,
  ...agents: Agents
): Promise<{ [A in keyof Agents]: Workspace }> {
  const mesh = await meshes.join();
  await mesh.hostWorkspaces();
  return agents.map((agent) => mesh.workspace("shop", { agent })) as {
    [A in keyof Agents]: Workspace;
  };
}

/** The conflict that refused something. */
export async function refused(work: Promise<unknown>): Promise<MeshError> {
  const error: unknown = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (isMeshError(error, "CONFLICT")) return error;
  throw new Error("It was not refused.", { cause: error });
}

export function clashesIn({ details }: MeshError): ExplainedClash[] {
  return (details as { clashes: ExplainedClash[] }).clashes;
}
