import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { pathToFileURL } from "node:url";
import { dieWithParent, root, run } from "./child.mjs";
import { currentNode, install } from "./install.mjs";
import { locked } from "./lock.mjs";
import { Failure, say, seconds } from "./say.mjs";

/**
 * Installs, builds and finds the broker, as far as that is missing: everything that a clone needs before something can run.
 * Runs on Node 20 and without any package; costs about a second when there is nothing to do.
 * @returns {Promise<{ node: string, env: NodeJS.ProcessEnv }>} the Node to run things on, and their environment
 */
export async function prepare() {
  if (Number(process.versions.node.split(".")[0]) < 20) {
    throw new Failure(`Node.js 20 or newer is needed to begin with; this is ${process.version}.`);
  }
  return locked(join(root, ".cache", "setup.lock"), async () => {
    await install();
    const node = currentNode();
    const bin = join(root, "node_modules", ".bin");
    const env = { ...process.env, PATH: `${bin}${delimiter}${process.env.PATH ?? ""}` };
    await build(env);
    await findBroker(node, env);
    return { node, env };
  });
}

async function build(env) {
  const startedMs = performance.now();
  const fresh = !existsSync(join(root, "packages", "cli", "dist", "main.js"));
  if (fresh) say("building");
  const { code, output } = await run("turbo", ["run", "build", "--output-logs=errors-only"], {
    cwd: root,
    env: { ...env, TURBO_TELEMETRY_DISABLED: "1", TURBO_NO_UPDATE_NOTIFIER: "1" },
    capture: true,
  });
  if (code !== 0) throw new Failure(`the build failed:\n${output.trim()}`);
  if (fresh || !output.includes("FULL TURBO")) say(`built in ${seconds(startedMs)}`);
}

/** Finds a nats-server or fetches one; the packages that were just built know how. */
async function findBroker(node, env) {
  const library = pathToFileURL(join(root, "packages", "testing", "dist", "index.js"));
  const script = `
    import { findBroker } from ${JSON.stringify(library.href)};
    try {
      await findBroker({ fetch: false }).catch(() => {
        console.log("fetching nats-server");
        return findBroker();
      });
    } catch (error) {
      console.log(error.message);
      process.exitCode = 1;
    }`;
  const args = [...dieWithParent, "--input-type=module", "--eval", script];
  const { code, output } = await run(node, args, { cwd: root, env, capture: true });
  if (code !== 0) throw new Failure(output.trim());
  if (output !== "") say(output.trim());
}
