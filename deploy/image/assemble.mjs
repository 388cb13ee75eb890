import { cpSync, existsSync, lstatSync, mkdirSync, readFileSync, symlinkSync } from "node:fs";
import { basename, dirname, join, relative } from "node:path";

/*
 * `node assemble.mjs <folder>`, in a workspace that is installed and built: copies what runs into the folder. That is the built
 * packages and, by the lock file, what they depend on; nothing that only builds, tests or measures.
 */

/** Node.js runs no TypeScript inside of node_modules. */
const neverRuns = /\.([cm]?ts|map|md|flow|tsbuildinfo)$/;

const commands = {
  plexus: "packages/cli/dist/main.js",
  trading: "packages/trading/dist/run.js",
};

const [target] = process.argv.slice(2);
if (!existsSync("packages/cli/dist/main.js") || !existsSync("node_modules/zod")) {
  console.error(
    "The workspace is not built. Run `node scripts/setup.mjs` in the repository first.",
  );
  process.exit(1);
}
const { packages } = JSON.parse(readFileSync("package-lock.json", "utf8"));
for (const [path, { dev, optional, link, resolved }] of Object.entries(packages)) {
  if (path === "" || dev || optional) continue;
  if (link) linkTo(resolved, path);
  else if (path.startsWith("node_modules")) copy(path, isUsed);
  else {
    copy(join(path, "dist"), isUsed);
    copy(join(path, "package.json"), () => true);
  }
}
copy("deploy/image", () => true, "image");
// `docker run plexus plexus agents ls`, `docker run plexus trading risk`
for (const [name, file] of Object.entries(commands)) linkTo(file, name);

function copy(path, filter, to = path) {
  cpSync(path, join(target, to), { recursive: true, filter });
}

function isUsed(path) {
  if (lstatSync(path).isDirectory()) return basename(path) !== "node_modules";
  return !neverRuns.test(path);
}

/** A relative link, so that the folder may lie anywhere. */
function linkTo(file, name) {
  const link = join(target, name);
  mkdirSync(dirname(link), { recursive: true });
  symlinkSync(relative(dirname(link), join(target, file)), link);
}
