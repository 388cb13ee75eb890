#!/usr/bin/env node
import module from "node:module";

const LEFT_OVER_MS = 250;

// Nothing else is imported before the version is known: an old Node would fail on syntax, not say what is wrong.
const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
if (major < 22 || (major === 22 && minor < 22)) {
  process.stderr.write(`plexus: needs Node.js 22.22 or newer; this is ${process.version}.\n`);
  process.exitCode = 1;
} else {
  module.enableCompileCache(); // halves the time to start
  const { runCommandLine } = await import("./program.ts");
  process.exitCode = await runCommandLine(process.argv.slice(2));
  // Everything is closed by now, except what the NATS client forgets: a socket to an address that takes connections and
  // says nothing. It must not keep the shell waiting; what a slow reader has yet to take of the output, must.
  process.stdout.write("", () => setTimeout(() => process.exit(), LEFT_OVER_MS).unref());
}
