import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

/**
 * Installs what `peers/package-lock.json` pins, unless it is there. The peers stand outside the workspaces so that
 * nobody who only runs Plexus downloads them. Returns why they cannot be had, if so.
 */
export function installPeers(log: (line: string) => void): string | undefined {
  const folder = fileURLToPath(new URL("./peers", import.meta.url));
  const installed = (name: string): boolean =>
    existsSync(`${folder}/node_modules/${name}/package.json`);
  const names = ["moleculer", "nats", "bullmq", "@langchain/langgraph-checkpoint-sqlite"];
  if (names.every(installed)) return undefined;
  log("installing the peers to compare with (once)");
  const { status, stderr, error } = spawnSync(
    "npm",
    ["ci", "--ignore-scripts", "--prefix", folder],
    {
      cwd: folder,
      encoding: "utf8",
      stdio: ["ignore", "ignore", "pipe"],
      timeout: 120_000,
    },
  );
  if (status === 0) return undefined;
  const reason = error?.message ?? stderr.split("\n").find((line) => line.startsWith("npm error"));
  return `npm ci in test/bench/peers failed: ${reason ?? `exit code ${status}`}`;
}
