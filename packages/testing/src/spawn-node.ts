import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import { type Exit, spawnGuarded } from "./guard.ts";
import { LineBuffer } from "./line-buffer.ts";
import { waitUntilStopped } from "./pause-process.ts";

export type SpawnNodeOptions = {
  args?: string[];
  /** Added to this process's environment; `undefined` removes a variable. */
  env?: Record<string, string | undefined>;
  cwd?: string;
  /** Options for node itself. Default: `--conditions=plexus-source` for a `.ts` script, so that it runs on the packages' sources. */
  execArgv?: string[];
};

/** A Node child process. It never outlives its parent; disposing kills it. */
export type NodeProcess = AsyncDisposable & {
  readonly pid: number;
  /** Settles when the process has exited. Never rejects. */
  readonly exited: Promise<Exit>;
  /** Sends a signal (default SIGKILL; also reaches a paused process with SIGTERM) and waits for the exit. */
  kill(signal?: NodeJS.Signals): Promise<Exit>;
  /** SIGSTOP: the process freezes, its connections stay open. Waits until it stands still. */
  pause(): Promise<void>;
  /** SIGCONT. */
  resume(): void;
  /** Lines of stdout, or stderr, from the first that is still kept (the last 10,000) until the process closes it. */
  lines(stream?: "stdout" | "stderr"): AsyncIterableIterator<string>;
  /**
   * The first line of stdout, past or future, that contains the text or matches.
   * @param timeoutMs default 30,000
   * @throws Error with the tail of stderr when the process ends or the time passes without such a line.
   */
  waitForLine(match: string | RegExp, timeoutMs?: number): Promise<string>;
  /** What the process has written to stderr (its last 10,000 lines). */
  stderr(): string;
};

/**
 * Starts `node script ...args` as a child process for fault tests: it can be killed and paused, and it dies with this
 * process even if that is SIGKILLed.
 */
export function spawnNode(script: string | URL, options: SpawnNodeOptions = {}): NodeProcess {
  const file = script instanceof URL ? fileURLToPath(script) : script;
  const execArgv = options.execArgv ?? (file.endsWith(".ts") ? ["--conditions=plexus-source"] : []);
  const { child, exited, release } = spawnGuarded(
    process.execPath,
    [...execArgv, file, ...(options.args ?? [])],
    {
      stdout: "pipe",
      stderr: "pipe",
      env: { ...process.env, ...options.env },
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    },
  );
  const stdout = new LineBuffer(child.stdout!);
  const stderr = new LineBuffer(child.stderr!);
  let running = true;
  const ended = exited.then((exit) => {
    running = false;
    release();
    return exit;
  });

  const kill = async (signal: NodeJS.Signals = "SIGKILL") => {
    if (running) {
      child.kill(signal);
      child.kill("SIGCONT"); // a stopped process handles no signal but SIGKILL
    }
    return ended;
  };
  return {
    pid: child.pid!,
    exited: ended,
    kill,
    pause: async () => {
      if (!running) return;
      child.kill("SIGSTOP");
      await waitUntilStopped(child.pid!);
    },
    resume: () => void (running && child.kill("SIGCONT")),
    lines: (stream = "stdout") => (stream === "stdout" ? stdout : stderr).lines(),
    waitForLine: async (match, timeoutMs = 30_000) => {
      const found = await stdout.find(match, timeoutMs);
      if ("line" in found) return found.line;
      if (found.missing === "ended") await Promise.race([ended, sleep(100)]); // for the rest of stderr
      const state = found.missing === "expired" ? `within ${timeoutMs} ms` : "before it ended";
      throw new Error(
        `${file} (pid ${child.pid}) wrote no line with ${match} ${state}. Its stderr:\n${stderr.tail(20)}`,
      );
    },
    stderr: () => stderr.tail(),
    [Symbol.asyncDispose]: async () => void (await kill()),
  };
}
