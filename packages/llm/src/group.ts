import { MeshError, type Duration } from "@plexus/core";
import type { Deployment } from "./deployment.ts";
import type { DeploymentSpec } from "./deployment-spec.ts";
import type { Strategy } from "./router.ts";

/** Deployments that can stand in for each other. */
export interface GroupSpec {
  readonly deployments: readonly DeploymentSpec[];
  /** How they share the calls. Default `weighted`. */
  readonly strategy?: Strategy;
  /** Groups to ask when no deployment of this one answers, in this order. */
  readonly fallback?: readonly string[];
  /** Attempts within this group. Default 3. */
  readonly attempts?: number;
  /**
   * Ask a second deployment if the first has not answered within this time, and take the answer that comes first. Both are
   * charged. Only for calls without tools that are not streamed. Default: never.
   */
  readonly hedge?: Duration;
  /** For a call as a whole, fallbacks included, unless it says otherwise. Default 60 s. */
  readonly timeout?: Duration;
}

/** A group that is ready to be asked. */
export interface Group {
  readonly name: string;
  readonly deployments: readonly Deployment[];
  readonly strategy: Strategy;
  readonly fallback: readonly string[];
  readonly attempts: number;
  readonly hedgeMs: number | undefined;
  readonly timeoutMs: number;
}

/** How many groups a call may pass through, the first one included. */
const MAX_GROUPS = 4;

/** A group and those that it falls back to, each once, the nearest first. */
export function chain(groups: ReadonlyMap<string, Group>, name: string): Group[] {
  const found: Group[] = [];
  const visit = (next: string): void => {
    const group = groups.get(next);
    if (group === undefined || found.includes(group) || found.length >= MAX_GROUPS) return;
    found.push(group);
    for (const one of group.fallback) visit(one);
  };
  visit(name);
  return found;
}

/** Throws `INVALID_CONTRACT` for groups that cannot work. */
export function checkGroups(groups: Readonly<Record<string, GroupSpec>>): void {
  const ids = new Map<string, DeploymentSpec>();
  for (const [name, { deployments, fallback = [], attempts = 1 }] of Object.entries(groups)) {
    if (deployments.length === 0) throw invalid(`Group ${name} has no deployments.`);
    if (!(attempts >= 1)) throw invalid(`Group ${name}: attempts must be 1 or more.`);
    const unknown = fallback.find((one) => !Object.hasOwn(groups, one));
    if (unknown !== undefined)
      throw invalid(`Group ${name} falls back to ${unknown}, which is none.`);
    for (const spec of deployments) {
      const id = spec.id ?? spec.model;
      const other = ids.get(id);
      if (other !== undefined && other !== spec) {
        throw invalid(`Two deployments are called ${id}: give each an id of its own.`);
      }
      ids.set(id, spec);
      if (!((spec.weight ?? 1) > 0)) throw invalid(`Deployment ${id}: weight must be more than 0.`);
    }
  }
}

function invalid(message: string): MeshError {
  return new MeshError("INVALID_CONTRACT", message);
}
