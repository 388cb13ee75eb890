import { join } from "node:path";
import { dieWithParent, root, run } from "./child.mjs";
import { main } from "./main.mjs";
import { prepare } from "./prepare.mjs";
import { say } from "./say.mjs";
import { test } from "./test.mjs";

/* `node scripts/run.mjs <command> ARGS`: sets up what is missing, then runs the command on the repository's Node. */

const cli = join(root, "packages", "cli", "dist", "main.js");
const chaos = join(root, "test", "chaos", "main.ts");
const bench = join(root, "test", "bench", "main.ts");

const commands = {
  test,
  demo: (tools, args) => script(tools, [cli, "demo", ...args]),
  plexus: (tools, args) => script(tools, [cli, ...args]),
  bench: (tools, args) => script(tools, [bench, ...args]),
  chaos: (tools, args) => script(tools, ["--conditions=plexus-source", chaos, ...args]),
};

async function script({ node, env }, args) {
  // In the folder where npm was called, so that file arguments mean what they say.
  const cwd = process.env.INIT_CWD ?? process.cwd();
  const { code } = await run(node, [...dieWithParent, ...args], { cwd, env });
  return code;
}

const [name = "", ...args] = process.argv.slice(2);
await main(async () => {
  if (!Object.hasOwn(commands, name)) {
    say(`usage: node scripts/run.mjs ${Object.keys(commands).join("|")} [arguments]`);
    return 2;
  }
  return commands[name](await prepare(), args);
});
