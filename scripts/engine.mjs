import { spawn } from "node:child_process";
import {
  accessSync,
  closeSync,
  constants,
  openSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { request } from "node:http";
import { delimiter, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { run } from "./child.mjs";
import { locked } from "./lock.mjs";
import { Failure, say, seconds } from "./say.mjs";

const socketPath = "/var/run/docker.sock";
const enginePidFile = "/var/run/docker.pid";
/** Here are the pid and the log of an engine that was started here, and a file for each process that uses it. */
const folder = "/run/plexus-docker";
const startedFile = join(folder, "dockerd.pid");
const logFile = join(folder, "dockerd.log");
const startMs = 60_000;
const stopMs = 30_000;
const pollMs = 100;

/** Program → Debian's package of it. wget is what brokers in containers check their health with. */
const needed = { dockerd: "docker.io", "docker-compose": "docker-compose", wget: "wget" };

/**
 * Does `work` while a Docker engine runs. Where none answers, Debian's is installed, started, and stopped behind the last process that
 * uses it, if that is possible here: it takes root and apt-get. If it is not, `work` is done all the same.
 * @template T
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function withEngine(work) {
  const isOurs = isEngine(read(startedFile));
  if (!canStart() || ((await answers()) && !isOurs)) return work();
  const own = join(folder, `user-${process.pid}`);
  const alone = (change) => locked(join(folder, "lock"), change);
  try {
    await alone(async () => {
      writeFileSync(own, "");
      await start();
    });
  } catch (error) {
    // For one, in a container that may not start containers. In CI the tests insist on an engine, and fail without one.
    if (!(error instanceof Failure)) throw error;
    say(error.message);
  }
  try {
    return await work();
  } finally {
    await alone(async () => {
      rmSync(own, { force: true });
      if (!isUsed()) await stop();
    });
  }
}

function canStart() {
  if (process.platform !== "linux" || process.getuid() !== 0) return false;
  if (process.env.DOCKER_HOST) return false; // somebody has decided which engine it is to be
  return (findOnPath("apt-get") ?? findOnPath("dockerd")) !== undefined;
}

async function start() {
  await installMissing();
  const startedMs = performance.now();
  const isLate = () => performance.now() - startedMs > startMs;
  // One that was left over by an earlier run answers, or will: nothing else is started beside it.
  while (isEngine(read(enginePidFile))) {
    if (await answers()) return;
    if (isLate())
      throw new Failure(`dockerd, process ${read(enginePidFile)}, does not answer: end it`);
    await sleep(pollMs);
  }
  rmSync(enginePidFile, { force: true }); // of one that was killed: dockerd would take whoever has that number now for another

  const log = openSync(logFile, "w");
  // Ports are published on 127.0.0.1 unless a container asks for more. Detached, as a terminal's Ctrl-C is not for it.
  const stdio = ["ignore", log, log];
  const engine = spawn(findOnPath("dockerd"), ["--ip", "127.0.0.1"], { detached: true, stdio });
  closeSync(log);
  engine.unref();
  writeFileSync(startedFile, String(engine.pid));
  while (!(await answers())) {
    if (engine.exitCode !== null || isLate()) {
      const tail = readFileSync(logFile, "utf8").trim().split("\n").slice(-5).join("\n");
      throw new Failure(`no Docker engine could be started (${logFile}):\n${tail}`);
    }
    await sleep(pollMs);
  }
  say(`started a Docker engine in ${seconds(startedMs)}`);
}

async function installMissing() {
  const missing = Object.keys(needed).filter((program) => findOnPath(program) === undefined);
  if (missing.length === 0) return;
  const packages = missing.map((program) => needed[program]);
  say(`installing ${packages.join(", ")}`);
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  for (const args of [["update"], ["install", "-y", "--no-install-recommends", ...packages]]) {
    const { code, output } = await run("apt-get", args, { env, capture: true });
    if (code !== 0) throw new Failure(`apt-get ${args.join(" ")} failed:\n${output.trim()}`);
  }
}

/** Ends the engine that was started here, and with it every container that is left. */
async function stop() {
  const pid = read(startedFile);
  const askedMs = performance.now();
  if (isEngine(pid)) process.kill(Number(pid), "SIGTERM");
  while (isEngine(pid)) {
    if (performance.now() - askedMs > stopMs) process.kill(Number(pid), "SIGKILL");
    await sleep(pollMs);
  }
  rmSync(startedFile, { force: true });
}

function isUsed() {
  const users = readdirSync(folder).filter((name) => name.startsWith("user-"));
  const dead = users.filter(
    (name) => read(`/proc/${name.slice("user-".length)}/comm`) === undefined,
  );
  for (const name of dead) rmSync(join(folder, name), { force: true });
  return dead.length < users.length;
}

function isEngine(pid) {
  return read(`/proc/${pid}/comm`) === "dockerd";
}

function findOnPath(program) {
  for (const path of [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin"]) {
    try {
      const file = join(path, program);
      accessSync(file, constants.X_OK);
      return file;
    } catch {
      // not in this folder
    }
  }
  return undefined;
}

function read(file) {
  try {
    return readFileSync(file, "utf8").trim();
  } catch {
    return undefined;
  }
}

function answers() {
  return new Promise((resolve) => {
    const ping = request({ socketPath, path: "/_ping", timeout: 2_000 }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    ping.on("timeout", () => ping.destroy());
    ping.on("error", () => resolve(false));
    ping.end();
  });
}
