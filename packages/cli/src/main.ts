#!/usr/bin/env node
import module from "node:module";

// Nothing else is imported before the version is known: an old Node would fail on syntax, not say what is wrong.
const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
if (major < 22 || (major === 22 && minor < 22)) {
  process.stderr.write(`plexus: needs Node.js 22.22 or newer; this is ${process.version}.\n`);
  process.exitCode = 1;
} else {
  module.enableCompileCache(); // halves the time to start
  const { runCommandLine } = await import("./program.ts");
  process.exitCode = await runCommandLine(process.argv.slice(2));
}
