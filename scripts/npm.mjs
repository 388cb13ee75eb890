import { realpathSync } from "node:fs";
import { delimiter, join } from "node:path";
import { dieWithParent, root, run } from "./child.mjs";
import { Failure } from "./say.mjs";

/** Runs npm's own JavaScript with the given Node; prints nothing unless it fails. */
export async function npm(node, args, env) {
  const quiet = ["--loglevel=error", "--no-audit", "--no-fund", "--no-progress"];
  const command = [...dieWithParent, npmCli(), ...args, ...quiet];
  const { code, output } = await run(node, command, { cwd: root, env, capture: true });
  if (code === 0) return;
  const log = output.trim().split("\n").slice(-40).join("\n");
  throw new Failure(`npm ${args.join(" ")} failed (exit code ${code}):\n${log}`);
}

/** npm-cli.js: of the npm that runs us, else of the one on PATH. */
function npmCli() {
  const own = process.env.npm_execpath;
  if (own?.endsWith("npm-cli.js")) return own;
  for (const folder of (process.env.PATH ?? "").split(delimiter)) {
    try {
      const path = realpathSync(join(folder, "npm"));
      if (path.endsWith("npm-cli.js")) return path;
    } catch {
      // not in this folder
    }
  }
  throw new Failure(
    "npm is not on PATH. Install it (it comes with Node.js) or run `npm run demo`.",
  );
}
