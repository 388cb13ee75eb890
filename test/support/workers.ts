import { spawnNode, type NodeProcess } from "@plexus/testing";
import type { TestMeshes } from "./mesh.ts";

/** A worker process and the instance that it hosts. */
export interface WorkerProcess {
  readonly process: NodeProcess;
  readonly instance: string;
  /** Base URL of its /metrics, /livez and /readyz. */
  readonly http: string;
}

/** Starts one of the scripts in test/e2e/agents in the mesh of the running test. */
export function startAgent(
  meshes: TestMeshes,
  script: string,
  args: string[] = [],
  env: Record<string, string> = {},
): NodeProcess {
  return spawnNode(new URL(`../e2e/agents/${script}.ts`, import.meta.url), {
    args,
    env: {
      PLEXUS_SERVERS: meshes.broker.url,
      PLEXUS_MESH: meshes.name,
      PLEXUS_LOG_LEVEL: "silent",
      ...env,
    },
  });
}

/** Worker processes of one test; disposing kills them. */
export interface Workers extends AsyncDisposable {
  readonly all: readonly WorkerProcess[];
  readonly first: WorkerProcess;
}

/** Starts workers, each a process of its own, and waits until they are ready. */
export async function startWorkers(
  meshes: TestMeshes,
  count: number,
  env: Record<string, string> = {},
): Promise<Workers> {
  const processes = Array.from({ length: count }, () => startAgent(meshes, "worker", [], env));
  const all = await Promise.all(
    processes.map(async (process) => {
      const line = await process.waitForLine("ready", 20_000);
      const [, instance, http] = line.split(" ");
      return { process, instance: instance!, http: http! };
    }),
  );
  return {
    all,
    first: all[0]!,
    [Symbol.asyncDispose]: async () => {
      await Promise.all(processes.map((process) => process[Symbol.asyncDispose]()));
    },
  };
}

/** How many lines of its output a process has written that are exactly this. */
export function countLines(process: NodeProcess, text: string): () => number {
  let count = 0;
  void (async () => {
    for await (const line of process.lines()) if (line === text) count++;
  })();
  return () => count;
}
