import { spawn } from "node:child_process";
import { constants } from "node:os";
import { fileURLToPath } from "node:url";

const forwarded = ["SIGINT", "SIGTERM", "SIGHUP", "SIGWINCH"];
/** A terminal's Ctrl-C reaches this process from the terminal and again from npm: it is passed on once. */
const sameSignalMs = 500;

/** Options that make a Node process end with the process that started it. */
export const dieWithParent = ["--import", new URL("./die-with-parent.mjs", import.meta.url).href];

/** Somebody pressed Ctrl-C, or the like, while a program ran whose outcome nobody sees now. */
export class Interrupted extends Error {
  constructor(code) {
    super("interrupted");
    this.code = code;
  }
}

/**
 * Runs a program to its end and passes on the signals that this process gets meanwhile.
 * @param {string} command
 * @param {string[]} args
 * @param {{ env?: NodeJS.ProcessEnv, cwd?: string, capture?: boolean }} [options] capture: collect the output, print none
 * @returns {Promise<{ code: number, output: string }>} code is 128 + n after a signal
 * @throws Interrupted after a signal that was passed on, if the output was captured
 */
export async function run(command, args, options = {}) {
  const stdio = options.capture ? ["ignore", "pipe", "pipe"] : "inherit";
  // In a session of its own, so that a terminal's Ctrl-C reaches it by this process only, and so exactly once.
  const child = spawn(command, args, { ...options, stdio, detached: true });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8").on("data", (text) => (output += text));
  }

  let lastSignal = { name: "", at: 0 };
  const pass = (name) => {
    const at = performance.now();
    if (name === lastSignal.name && at - lastSignal.at < sameSignalMs) return;
    child.kill(name);
    if (name !== "SIGWINCH") lastSignal = { name, at };
  };
  for (const name of forwarded) process.on(name, pass);
  try {
    const code = await new Promise((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (exitCode, signal) =>
        resolve(exitCode ?? 128 + constants.signals[signal]),
      );
    });
    if (options.capture && lastSignal.name !== "") {
      throw new Interrupted(128 + constants.signals[lastSignal.name]);
    }
    return { code, output };
  } finally {
    for (const name of forwarded) process.removeListener(name, pass);
  }
}

/** The repository's root. */
export const root = fileURLToPath(new URL("..", import.meta.url));
