import { setTimeout as sleep } from "node:timers/promises";
import { backoffMs, type Backoff } from "@plexus/core";
import { spawnNode, type NodeProcess } from "@plexus/testing";

/** A Node script to keep running. */
export interface ProcessSpec {
  /** Unique among the processes of a supervisor. */
  readonly name: string;
  readonly script: string;
  readonly args?: readonly string[];
  /** Added to this process's environment. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Options for Node itself. */
  readonly execArgv?: readonly string[];
}

/** What happens to the processes, in order. */
export type ProcessEvent = { readonly process: string } & (
  | { readonly event: "started"; readonly pid: number }
  | { readonly event: "line"; readonly stream: "stdout" | "stderr"; readonly line: string }
  /** It ended because it was asked to; `signal` is SIGKILL when it did not in time. */
  | { readonly event: "stopped"; readonly code: number | null; readonly signal: string | null }
  /** It ended by itself with exit code 0: its work is done, it is not started again. */
  | { readonly event: "ended" }
  | { readonly event: "crashed"; readonly code: number | null; readonly signal: string | null }
  | { readonly event: "restarting"; readonly attempt: number; readonly inMs: number }
);

export interface SupervisorOptions {
  readonly onEvent: (event: ProcessEvent) => void;
  /** Waits between crashes. Default: 250 ms, doubling up to 15 s. */
  readonly backoff?: Backoff;
  /** After running this long a process counts as well again: its next crash is its first. Default 10 s. */
  readonly stableMs?: number;
  /** What a process has from SIGTERM to SIGKILL. Default 10 s. */
  readonly stopTimeoutMs?: number;
}

const DEFAULT_BACKOFF: Backoff = { firstMs: 250, maxMs: 15_000, factor: 2 };
const DEFAULT_STABLE_MS = 10_000;
const DEFAULT_STOP_TIMEOUT_MS = 10_000;
const LAST_WORDS_MS = 250;

/**
 * Keeps named processes running: starts them again when they crash, with growing delays; stops them with SIGTERM, so that
 * they drain, and SIGKILL when they take too long. None outlives this process, even if that is SIGKILLed. Disposing stops all.
 */
export class Supervisor implements AsyncDisposable {
  readonly #options: Required<SupervisorOptions>;
  readonly #processes = new Map<string, Supervised>();
  #closed = false;

  constructor(options: SupervisorOptions) {
    this.#options = {
      backoff: DEFAULT_BACKOFF,
      stableMs: DEFAULT_STABLE_MS,
      stopTimeoutMs: DEFAULT_STOP_TIMEOUT_MS,
      ...options,
    };
  }

  /** Starts a process, unless one of that name is there already: then it takes the new specification at its next start. */
  start(spec: ProcessSpec): void {
    if (this.#closed) return;
    const known = this.#processes.get(spec.name);
    if (known) known.spec = spec;
    else this.#processes.set(spec.name, new Supervised(spec, this.#options));
    this.#processes.get(spec.name)!.start();
  }

  /** Stops a process and starts it again; one that waits after a crash starts at once. */
  async restart(name: string): Promise<void> {
    const supervised = this.#processes.get(name);
    await supervised?.stop();
    if (!this.#closed) supervised?.start();
  }

  /** Stops a process. Resolves when it is gone. */
  async stop(name: string): Promise<void> {
    await this.#processes.get(name)?.stop();
  }

  /** Kills a process with SIGKILL, as if it had crashed: it is started again. False: it is down already. */
  kill(name: string): boolean {
    return this.#processes.get(name)?.kill() ?? false;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#processes.values()].map((supervised) => supervised.stop()));
  }
}

type State =
  | { readonly is: "down" }
  | { readonly is: "up"; readonly child: NodeProcess }
  | { readonly is: "stopping"; readonly child: NodeProcess; readonly stopped: Promise<void> }
  /** For its next start, after a crash. */
  | { readonly is: "waiting"; readonly timer: NodeJS.Timeout };

/** One process over its lives. */
class Supervised {
  spec: ProcessSpec;
  readonly #options: Required<SupervisorOptions>;
  #state: State = { is: "down" };
  #crashes = 0;
  /** Settles when the last child is gone and its last line told. */
  #ended: Promise<void> = Promise.resolve();

  constructor(spec: ProcessSpec, options: Required<SupervisorOptions>) {
    this.spec = spec;
    this.#options = options;
  }

  start(): void {
    const state = this.#state;
    if (state.is === "up" || state.is === "stopping") return;
    if (state.is === "waiting") clearTimeout(state.timer);
    this.#crashes = 0;
    this.#spawn();
  }

  kill(): boolean {
    if (this.#state.is !== "up") return false;
    void this.#state.child.kill();
    return true;
  }

  async stop(): Promise<void> {
    const state = this.#state;
    if (state.is === "waiting") {
      clearTimeout(state.timer);
      this.#state = { is: "down" };
    } else if (state.is === "up") {
      const { promise: stopped, resolve } = Promise.withResolvers<void>();
      const { child } = state;
      this.#state = { is: "stopping", child, stopped };
      const timer = setTimeout(() => void child.kill(), this.#options.stopTimeoutMs);
      await child.kill("SIGTERM");
      clearTimeout(timer);
      await this.#ended;
      resolve();
    } else if (state.is === "stopping") await state.stopped;
  }

  #spawn(): void {
    const { name, script, args = [], env = {}, cwd, execArgv = [] } = this.spec;
    const child = spawnNode(script, {
      args: [...args],
      env,
      execArgv: [...execArgv],
      ...(cwd === undefined ? {} : { cwd }),
    });
    this.#state = { is: "up", child };
    this.#options.onEvent({ event: "started", process: name, pid: child.pid });
    const told = Promise.all([this.#tell(child, "stdout"), this.#tell(child, "stderr")]);
    this.#ended = this.#follow(child, told);
  }

  async #follow(child: NodeProcess, told: Promise<unknown>): Promise<void> {
    const startedMs = performance.now();
    const exit = await child.exited;
    const ranMs = performance.now() - startedMs;
    await Promise.race([told, sleep(LAST_WORDS_MS)]); // a grandchild may hold the pipe
    this.#gone(exit, ranMs);
  }

  async #tell(child: NodeProcess, stream: "stdout" | "stderr"): Promise<void> {
    for await (const line of child.lines(stream)) {
      this.#options.onEvent({ event: "line", process: this.spec.name, stream, line });
    }
  }

  #gone({ code, signal }: { code: number | null; signal: string | null }, ranMs: number): void {
    const { onEvent, stableMs, backoff } = this.#options;
    const process = this.spec.name;
    const asked = this.#state.is === "stopping";
    this.#state = { is: "down" };
    if (asked) {
      onEvent({ event: "stopped", process, code, signal });
      return;
    }
    if (code === 0) {
      onEvent({ event: "ended", process });
      return;
    }
    onEvent({ event: "crashed", process, code, signal });
    this.#crashes = ranMs >= stableMs ? 1 : this.#crashes + 1;
    const inMs = backoffMs(backoff, this.#crashes, () => 1); // alone on its machine: nobody to spread over time
    const timer = setTimeout(() => this.#spawn(), inMs);
    this.#state = { is: "waiting", timer };
    onEvent({ event: "restarting", process, attempt: this.#crashes, inMs });
  }
}
