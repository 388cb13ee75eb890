import { dirname, resolve } from "node:path";
import { z } from "zod";
import { UsageError } from "./exit-codes.ts";
import { fileExists, loadModule } from "./load-module.ts";

/** One agent of a mesh file. */
export interface AgentEntry {
  /** Path of the script that hosts it, relative to the mesh file. It calls `connect()` without `servers` and `mesh`. */
  readonly module: string;
  /** The module exports graphs: `plexus workflow serve` hosts them. */
  readonly graphs?: boolean;
  /** How many processes. Default 1. */
  readonly replicas?: number;
  /** Added to the environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Arguments of the script. */
  readonly args?: readonly string[];
}

/** What a mesh file exports as its default. */
export interface MeshDefinition {
  /** Name of the mesh. Default `plexus`. */
  readonly mesh?: string;
  /** Processes to run, by name. */
  readonly agents: Readonly<Record<string, AgentEntry>>;
}

/**
 * Declares the mesh that `plexus dev` runs.
 *
 * @example
 * export default defineMesh({ agents: { greeter: { module: "./greeter.ts", replicas: 2 } } });
 */
export function defineMesh(definition: MeshDefinition): MeshDefinition {
  return definition;
}

const MAX_REPLICAS = 256;
const name = z
  .string()
  .regex(/^[A-Za-z0-9_-]{1,60}$/, "must be 1 to 60 of the characters A-Z a-z 0-9 _ -");
const schema = z.strictObject({
  mesh: name.optional(),
  agents: z
    .record(
      name,
      z.strictObject({
        module: z.string().min(1),
        graphs: z.boolean().optional(),
        replicas: z.int().min(1).max(MAX_REPLICAS).default(1),
        env: z.record(z.string(), z.string()).default({}),
        args: z.array(z.string()).default([]),
      }),
    )
    .refine((agents) => Object.keys(agents).length > 0, "must name at least one agent"),
});

/** A mesh file as read: everything filled in, module paths absolute. */
export type LoadedMesh = z.output<typeof schema>;

/** Loads and checks a mesh file. @throws UsageError that names the field */
export async function loadMeshFile(path: string): Promise<LoadedMesh> {
  const file = resolve(path);
  if (!(await fileExists(file))) throw new UsageError(`There is no mesh file ${file}.`);
  const loaded = await loadModule(path);
  if (loaded["default"] === undefined) {
    throw new UsageError(`${path} has no default export. Write: export default defineMesh({ … })`);
  }
  const parsed = schema.safeParse(loaded["default"]);
  if (!parsed.success) {
    const problems = parsed.error.issues.map(
      (issue) => `${issue.path.join(".") || "default export"}: ${issue.message}`,
    );
    throw new UsageError(`${path}: ${problems.join("; ")}`);
  }
  for (const [agent, entry] of Object.entries(parsed.data.agents)) {
    entry.module = resolve(dirname(file), entry.module);
    // The first one missing is reported.
    if (!(await fileExists(entry.module))) {
      throw new UsageError(`${path}: agents.${agent}.module: there is no file ${entry.module}`);
    }
  }
  return parsed.data;
}
