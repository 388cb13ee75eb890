import { join } from "node:path";
import { addToCache } from "./broker-cache.ts";
import { releaseVersion } from "./fetch-release.ts";
import { run } from "./run.ts";

/**
 * Copies nats-server, a static Linux binary, out of the official Docker image. No container ever runs: a broker inside one
 * could be neither killed nor paused by its pid, nor would it die with its parent.
 * @returns path of the binary in the cache
 * @throws Error when no Docker engine answers, or this is not Linux
 */
export async function fetchFromImage(cache: string, env: NodeJS.ProcessEnv): Promise<string> {
  if (process.platform !== "linux") throw new Error("the image holds a Linux binary");
  const docker = (args: string[], timeoutMs: number) => run("docker", args, { env, timeoutMs });
  await docker(["version", "--format", "{{.Server.Version}}"], 10_000);
  return addToCache(cache, async (scratch) => {
    const container = (await docker(["create", `nats:${releaseVersion}`], 600_000)).trim();
    try {
      const binary = join(scratch, "nats-server");
      await docker(["cp", `${container}:/nats-server`, binary], 60_000);
      return binary;
    } finally {
      await docker(["rm", container], 60_000);
    }
  });
}
