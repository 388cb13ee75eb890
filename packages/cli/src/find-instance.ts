import { MeshError } from "@plexus/core";
import type { InstanceInfo, Mesh } from "@plexus/mesh";
import { UsageError } from "./exit-codes.ts";

/**
 * The instances that `name` means: the one of that id, all of the agent of that name, or the one whose id begins so.
 * @throws MeshError `NO_AGENT`; UsageError when it is the beginning of several ids
 */
export function findInstances(mesh: Mesh, name: string): InstanceInfo[] {
  const all = mesh.agents();
  const exact = all.filter(({ instance }) => instance === name);
  if (exact.length > 0) return exact;
  const ofAgent = all.filter(({ agent }) => agent === name);
  if (ofAgent.length > 0) return ofAgent;
  const beginning = all.filter(({ instance }) => instance.startsWith(name));
  if (beginning.length > 1) throw ambiguous(name, beginning);
  if (beginning.length === 0) {
    throw new MeshError("NO_AGENT", `No agent or instance ${name} is in mesh ${mesh.mesh}.`);
  }
  return beginning;
}

/** Like {@link findInstances}, for what is done to one instance only. */
export function findInstance(mesh: Mesh, name: string): InstanceInfo {
  const [first, ...others] = findInstances(mesh, name);
  if (others.length > 0) throw ambiguous(name, [first!, ...others]);
  return first!;
}

function ambiguous(name: string, instances: readonly InstanceInfo[]): UsageError {
  const ids = instances.map(({ instance }) => instance).toSorted();
  return new UsageError(`${name} may be any of ${ids.join(", ")}: write more of the name.`);
}
