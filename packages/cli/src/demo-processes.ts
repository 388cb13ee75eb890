import { fileURLToPath } from "node:url";
import { type NodeProcess, spawnNode } from "@plexus/testing";
import { Role, TradingError } from "@plexus/trading";

/** The running agent processes. Disposing lets each leave the mesh in order. */
export interface DemoProcesses extends AsyncDisposable {
  readonly count: number;
  /** Rejects with `PROCESS_DIED` when one ends before its time. */
  readonly died: Promise<never>;
}

const LEAVE_MS = 5_000;

/** Starts one process for every replica of every role, all at once. */
export function startProcesses(
  replicas: Readonly<Record<Role, number>>,
  env: Record<string, string>,
): DemoProcesses {
  const script = fileURLToPath(import.meta.resolve("@plexus/trading/run"));
  const running = new Set<NodeProcess>();
  const { promise: died, reject } = Promise.withResolvers<never>();
  died.catch(() => undefined);
  let leaving = false;
  let count = 0;

  async function watch(child: NodeProcess, name: string): Promise<void> {
    const { code, signal } = await child.exited;
    running.delete(child);
    if (leaving) return;
    const how = signal === null ? `exit code ${code}` : signal;
    const words = child.stderr().trim();
    reject(
      new TradingError(
        "PROCESS_DIED",
        `${name} (pid ${child.pid}) ended with ${how}${words === "" ? "" : `:\n${words}`}`,
      ),
    );
  }

  for (const role of Role.options) {
    for (let index = 0; index < replicas[role]; index += 1) {
      const args = [role, "--index", String(index), "--of", String(replicas[role])];
      const child = spawnNode(script, { args, env });
      running.add(child);
      count += 1;
      void watch(child, `${role}-${index}`);
    }
  }
  return {
    count,
    died,
    async [Symbol.asyncDispose]() {
      leaving = true;
      await Promise.all(
        [...running].map(async (child) => {
          const timer = setTimeout(() => void child.kill(), LEAVE_MS);
          await child.kill("SIGTERM");
          clearTimeout(timer);
        }),
      );
    },
  };
}
