import { mkdir, readdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { addToCache } from "./broker-cache.ts";
import { run } from "./run.ts";

/** Only Debian's unstable suite carries a nats-server that is new enough. */
const suite = "sid";
const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";

/**
 * Fetches nats-server from the Debian mirror that this machine's apt already uses, without root and without a trace in the
 * system: apt works on a sources list, state and caches of its own, and the package is unpacked, not installed. apt verifies
 * signatures as ever; where its keyring cannot verify the suite, this fails.
 * @returns path of the binary in the cache
 */
export async function fetchFromDebian(cache: string, env: NodeJS.ProcessEnv): Promise<string> {
  const mirror = await debianMirror(env);
  const hasKeyring = await stat(keyring).then(
    () => true,
    () => false,
  );
  return addToCache(cache, async (scratch) => {
    const [lists, archives, status, sources] = [
      join(scratch, "lists"),
      join(scratch, "cache", "archives"),
      join(scratch, "status"),
      join(scratch, "sources.list"),
    ];
    await mkdir(join(lists, "partial"), { recursive: true });
    await mkdir(join(archives, "partial"), { recursive: true });
    await writeFile(status, "");
    const signedBy = hasKeyring ? `[signed-by=${keyring}] ` : "";
    await writeFile(sources, `deb ${signedBy}${mirror} ${suite} main\n`);

    const settings = {
      "Dir::Etc::sourcelist": sources,
      "Dir::Etc::sourceparts": "-",
      "Dir::Etc::preferences": "-",
      "Dir::Etc::preferencesparts": "-",
      "Dir::State": scratch,
      "Dir::State::lists": lists,
      "Dir::State::status": status,
      "Dir::Cache": join(scratch, "cache"),
      "Acquire::Languages": "none",
    };
    const options = Object.entries(settings).flatMap(([key, value]) => ["-o", `${key}=${value}`]);
    const apt = (...command: string[]) =>
      run("apt-get", [...options, ...command], { cwd: scratch, env, timeoutMs: 300_000 });
    await apt("update", "--error-on=any");
    await apt("download", "nats-server");
    const deb = (await readdir(scratch)).find((name) => name.endsWith(".deb"));
    if (deb === undefined) throw new Error("apt-get: download left no package");
    const files = join(scratch, "files");
    await run("dpkg", ["-x", join(scratch, deb), files], { env, timeoutMs: 60_000 });
    return join(files, "usr", "sbin", "nats-server");
  });
}

async function debianMirror(env: NodeJS.ProcessEnv): Promise<string> {
  const format = "$(ORIGIN)|$(LABEL)|$(COMPONENT)|$(REPO_URI)";
  const targets = await run("apt-get", ["indextargets", "--format", format], {
    env,
    timeoutMs: 30_000,
  });
  for (const target of targets.split("\n")) {
    const [origin, label, component, uri] = target.split("|");
    if (origin === "Debian" && label === "Debian" && component === "main" && uri) return uri;
  }
  throw new Error("apt-get: no Debian mirror among its sources");
}
