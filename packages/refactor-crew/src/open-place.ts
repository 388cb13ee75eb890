import { FolderPlace } from "./folder-place.ts";
import type { CrewPlan } from "./plan.ts";
import type { Workplace } from "./workplace.ts";

/** The workplace of a run, for one agent. In the mode `workspace` it is on the broker and the mesh that the environment names. */
export async function openPlace(agent: string, { mode, out }: CrewPlan): Promise<Workplace> {
  if (mode === "folder") return new FolderPlace(out, agent);
  const [{ connect }, { WorkspacePlace }] = await Promise.all([
    import("@plexus/mesh"),
    import("./workspace-place.ts"),
  ]);
  return new WorkspacePlace(await connect({ name: agent }), agent, true);
}
