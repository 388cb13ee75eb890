import { chmod, mkdir, mkdtemp, readdir, rename, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { compareVersions, readVersion } from "./broker-version.ts";

/** The per-user cache of broker binaries: `<cache>/<version>/nats-server`. */
export function brokerCache(env: NodeJS.ProcessEnv): string {
  return join(env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "plexus", "nats-server");
}

/** Path of the newest cached binary. @throws Error when there is none */
export async function newestCached(cache: string): Promise<string> {
  const entries = await readdir(cache).catch(() => []);
  const newest = entries
    .filter((name) => /^\d+\./.test(name))
    .toSorted(compareVersions)
    .at(-1);
  if (newest === undefined) throw new Error(`${cache} holds no nats-server`);
  return join(cache, newest, "nats-server");
}

/**
 * Adds a binary to the cache: `unpack` puts it into the scratch directory it is given and returns its path. Processes that
 * do this at the same time do not disturb each other.
 * @returns the binary's path in the cache
 */
export async function addToCache(
  cache: string,
  unpack: (scratch: string) => Promise<string>,
): Promise<string> {
  await mkdir(cache, { recursive: true });
  const scratch = await mkdtemp(join(cache, "fetch-"));
  try {
    const binary = await unpack(scratch);
    await chmod(binary, 0o755);
    const home = join(cache, await readVersion(binary));
    await mkdir(home, { recursive: true });
    const path = join(home, "nats-server");
    await rename(binary, path);
    return path;
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}
