import { closeSync, existsSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Guarded, spawnGuarded } from "./guard.ts";
import { waitUntilStopped } from "./pause-process.ts";

const startTimeoutMs = 15_000;
const stopTimeoutMs = 5_000;

/** The server could not bind one of its ports. */
export class PortTaken extends Error {}

/** One nats-server over its lives: starts, signals and ends the process whose files live in one directory. */
export class BrokerProcess {
  readonly #binary: string;
  readonly #directory: string;
  readonly #configFile: string;
  readonly #logFile: string;
  #guarded: Guarded | undefined;
  #pid: number | undefined;

  constructor(binary: string, directory: string) {
    this.#binary = binary;
    this.#directory = directory;
    this.#configFile = join(directory, "nats-server.conf");
    this.#logFile = join(directory, "nats-server.log");
  }

  /** Undefined while the server is down. */
  get pid(): number | undefined {
    return this.#pid;
  }

  /** Sets the text of the configuration file for the next start. */
  configure(text: string): void {
    writeFileSync(this.#configFile, text);
  }

  /**
   * Starts the server, if it is down, and waits until it accepts clients.
   * @throws PortTaken when a port is in use; Error with the log's tail when it does not come up otherwise
   */
  async start(): Promise<void> {
    if (this.#pid !== undefined) return;
    const logStart = this.#logSize();
    // The log is a file, not a pipe: a server must never wait for this process to read its log.
    const log = openSync(this.#logFile, "a");
    const previous = this.#guarded;
    const args = ["--config", this.#configFile, "--ports_file_dir", this.#directory];
    let guarded: Guarded;
    try {
      guarded = spawnGuarded(this.#binary, args, {
        directory: this.#directory,
        stdout: log,
        stderr: log,
      });
    } finally {
      closeSync(log);
    }
    previous?.release(); // only now, so that at no time the directory is unguarded
    this.#guarded = guarded;
    const pid = guarded.child.pid!;
    this.#pid = pid;
    guarded.child.once("exit", () => (this.#pid = undefined));
    await this.#ready(pid, logStart);
  }

  signal(signal: NodeJS.Signals): void {
    if (this.#pid !== undefined) this.#guarded?.child.kill(signal);
  }

  async pause(): Promise<void> {
    this.signal("SIGSTOP");
    if (this.#pid !== undefined) await waitUntilStopped(this.#pid);
  }

  /** Brings the server down and waits until it is gone; SIGTERM becomes SIGKILL after 5 s. */
  async end(signal: "SIGTERM" | "SIGKILL"): Promise<void> {
    if (this.#pid === undefined) return;
    const { exited } = this.#guarded!;
    this.signal(signal);
    if (signal === "SIGTERM") {
      this.signal("SIGCONT"); // a paused server would not see it
      const timer = setTimeout(() => this.signal("SIGKILL"), stopTimeoutMs);
      await exited;
      clearTimeout(timer);
    }
    await exited;
  }

  /** Ends the server and the guard over its directory, which is the caller's to remove. */
  async dispose(): Promise<void> {
    await this.end("SIGKILL");
    this.#guarded?.release();
  }

  log(lines: number): string {
    return this.#readLog().trimEnd().split("\n").slice(-lines).join("\n");
  }

  async #ready(pid: number, logStart: number): Promise<void> {
    // Written once the server listens; named after the program and its pid.
    const portsFile = join(this.#directory, `${basename(this.#binary)}_${pid}.ports`);
    const deadline = performance.now() + startTimeoutMs;
    while (!existsSync(portsFile)) {
      if (this.#pid !== pid) throw this.#startFailure("ended while it started", logStart);
      if (performance.now() > deadline) {
        await this.end("SIGKILL");
        throw this.#startFailure(`was not ready within ${startTimeoutMs} ms`, logStart);
      }
      await sleep(2);
    }
    rmSync(portsFile, { force: true });
  }

  #startFailure(what: string, logStart: number): Error {
    const log = this.#readLog().slice(logStart).trimEnd();
    const kind = /address already in use/.test(log) ? PortTaken : Error;
    const tail = log.split("\n").slice(-20).join("\n");
    return new kind(`${this.#binary} ${what}. The end of its log:\n${tail}`);
  }

  #logSize(): number {
    return existsSync(this.#logFile) ? this.#readLog().length : 0;
  }

  #readLog(): string {
    try {
      return readFileSync(this.#logFile, "utf8");
    } catch {
      return ""; // never started, or disposed
    }
  }
}
