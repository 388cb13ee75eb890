import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { sleep } from "./clock.ts";

/** What a child process offers: named async functions over JSON values. */
export type Commands = Record<string, (...args: never[]) => Promise<unknown>>;

export interface Ask {
  readonly command: string;
  readonly args: readonly unknown[];
}

export type Answer = { readonly value: unknown } | { readonly error: string };

/** No single command takes longer than a 30 s load with its warm-up and drain. */
const COMMAND_TIMEOUT_MS = 90_000;

/**
 * A measured process: runs a script of `roles/`, and calls its {@link Commands} over Node's IPC channel. The child
 * ends when that channel closes, so it cannot outlive this process. It runs without the `source` condition: what is
 * measured is the built packages, as a user would have them.
 */
export class Remote<C extends Commands> implements AsyncDisposable {
  readonly #role: string;
  readonly #child: ChildProcess;
  readonly #failed: Promise<never>;

  private constructor(role: string) {
    this.#role = role;
    this.#child = fork(fileURLToPath(new URL(`./roles/${role}.ts`, import.meta.url)), {
      execArgv: [],
      stdio: ["ignore", "ignore", "inherit", "ipc"],
    });
    this.#failed = new Promise((_, reject) => {
      this.#child.once("error", reject);
      this.#child.once("exit", (code, signal) => {
        reject(new Error(`${role} ended early (${signal ?? `exit code ${code}`})`));
      });
    });
    this.#failed.catch(() => {}); // at the end it always exits; only an open command cares
  }

  /** Starts `roles/<role>.ts`, which must {@link serve} the commands `C`. */
  static start<C extends Commands>(role: string): Remote<C> {
    return new Remote<C>(role);
  }

  /** Runs one command; one at a time. */
  async ask<K extends keyof C & string>(
    command: K,
    ...args: Parameters<C[K]>
  ): Promise<Awaited<ReturnType<C[K]>>> {
    const timeout = AbortSignal.timeout(COMMAND_TIMEOUT_MS);
    const answered = once(this.#child, "message", { signal: timeout });
    this.#child.send({ command, args } satisfies Ask);
    const [answer] = (await Promise.race([answered, this.#failed])) as [Answer];
    if ("error" in answer) throw new Error(`${this.#role} ${command}: ${answer.error}`);
    return answer.value as Awaited<ReturnType<C[K]>>;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const child = this.#child;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    if (child.connected) child.disconnect();
    await Promise.race([exited, sleep(2000)]);
    if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
  }
}
