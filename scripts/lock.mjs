import {
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { hostname } from "node:os";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { say } from "./say.mjs";

const pollMs = 200;
const heartbeatMs = 2_000;
/** Without a heartbeat for this long a lock of another host (a container on the same files) counts as abandoned. */
const abandonedMs = 30_000;
/** What an abandoned holder had started needs this long to notice and end. */
const orphansMs = 1_000;

/**
 * Holds the file `path` while `work` runs, so that one process at a time does. A lock whose holder died is taken over.
 * @template T
 * @param {string} path
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function locked(path, work) {
  mkdirSync(dirname(path), { recursive: true });
  const mine = `${process.pid} ${hostname()} ${Date.now()}`;
  let told = false;
  for (;;) {
    try {
      writeFileSync(path, mine, { flag: "wx" });
      break;
    } catch (error) {
      if (error.code !== "EEXIST") throw error;
    }
    const holder = read(path);
    if (holder === undefined) continue;
    if (isAbandoned(path, holder)) {
      takeAway(path, holder);
      await sleep(orphansMs);
      continue;
    }
    if (!told) say(`waiting for the set-up of process ${holder.split(" ")[0]}`);
    told = true;
    await sleep(pollMs);
  }

  const release = () => {
    if (read(path) === mine) rmSync(path, { force: true });
  };
  const heartbeat = setInterval(() => {
    const now = new Date();
    if (read(path) === mine) utimesSync(path, now, now);
  }, heartbeatMs);
  process.once("exit", release);
  try {
    return await work();
  } finally {
    clearInterval(heartbeat);
    process.removeListener("exit", release);
    release();
  }
}

function read(path) {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined; // released meanwhile
  }
}

function isAbandoned(path, holder) {
  const age = Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Date.now());
  if (age > abandonedMs) return true;
  const [pid, host] = holder.split(" ");
  if (host === undefined) return age > heartbeatMs; // it died between creating and writing
  if (host !== hostname()) return false;
  try {
    process.kill(Number(pid), 0);
    return false;
  } catch (error) {
    return error.code === "ESRCH";
  }
}

/** Removes the lock of `holder`, but not one that somebody else has taken since. */
function takeAway(path, holder) {
  const aside = `${path}.${process.pid}`;
  try {
    renameSync(path, aside); // atomic: of several that try, one gets it
    if (read(aside) !== holder) linkSync(aside, path);
  } catch {
    // somebody else was faster
  }
  rmSync(aside, { force: true });
}
