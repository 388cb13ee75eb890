import { createWriteStream } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { addToCache } from "./broker-cache.ts";
import { verifySha256 } from "./broker-version.ts";
import { run } from "./run.ts";

/** The release that is fetched; also the tag of the Docker image. */
export const releaseVersion = "2.14.0";
export const releaseUrl = "https://github.com/nats-io/nats-server/releases/download";

/** Name of the release archive for this platform, without its ending. @throws Error when there is none */
export function releaseName(
  platform: string = process.platform,
  arch: string = process.arch,
): string {
  const architectures: Record<string, string> = { x64: "amd64", arm64: "arm64", arm: "arm7" };
  const architecture = architectures[arch];
  if (architecture === undefined || !["linux", "darwin"].includes(platform)) {
    throw new Error(`there is no archive for ${platform} on ${arch}`);
  }
  return `nats-server-v${releaseVersion}-${platform}-${architecture}`;
}

/**
 * Fetches the official release archive and verifies it against the SHA256SUMS file of the same release. That detects a
 * damaged or swapped archive; that the release is genuine rests on HTTPS.
 * @param base URL that holds `v<version>/<file>`
 * @returns path of the binary in the cache
 */
export async function fetchRelease(
  cache: string,
  env: NodeJS.ProcessEnv,
  base: string = releaseUrl,
): Promise<string> {
  const name = releaseName();
  const archive = `${name}.tar.gz`;
  const folder = `${base}/v${releaseVersion}`;
  const sums = await (await get(`${folder}/SHA256SUMS`, 30_000)).text();
  const line = sums.split("\n").find((entry) => entry.trim().split(/\s+\*?/)[1] === archive);
  const expected = line?.trim().split(/\s+/)[0];
  if (expected === undefined) throw new Error(`${folder}/SHA256SUMS does not list ${archive}`);

  return addToCache(cache, async (scratch) => {
    const file = join(scratch, archive);
    const { body } = await get(`${folder}/${archive}`, 600_000);
    await pipeline(Readable.fromWeb(body!), createWriteStream(file));
    await verifySha256(file, expected);
    const binary = `${name}/nats-server`;
    await run("tar", ["-xzf", file, "-C", scratch, binary], { env, timeoutMs: 60_000 });
    return join(scratch, binary);
  });
}

async function get(url: string, timeoutMs: number): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url, { signal: AbortSignal.timeout(timeoutMs) });
  } catch (error) {
    const { message, cause } = error as Error;
    const reason = cause instanceof Error ? cause.message : message;
    throw new Error(`${url} cannot be reached: ${reason}`, { cause: error });
  }
  if (!response.ok) throw new Error(`${url} answered ${response.status}`);
  return response;
}
