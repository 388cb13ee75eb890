import { spawnNode, type NodeProcess } from "@plexus/testing";

/** The processes that host workspaces. */
export class Librarians implements AsyncDisposable {
  readonly #servers: string;
  readonly #execArgv: string[];
  readonly #running: NodeProcess[] = [];
  readonly #all: NodeProcess[] = [];
  killed = 0;

  constructor(servers: string, execArgv: string[]) {
    this.#servers = servers;
    this.#execArgv = execArgv;
  }

  /** How many are there. */
  get count(): number {
    return this.#running.length;
  }

  async join(): Promise<void> {
    const process = spawnNode(new URL("../e2e/agents/librarian.ts", import.meta.url), {
      env: { PLEXUS_SERVERS: this.#servers, PLEXUS_LOG_LEVEL: "silent" },
      execArgv: this.#execArgv,
    });
    this.#all.push(process);
    await process.waitForLine("ready ", 60_000);
    this.#running.push(process);
  }

  /** Kills one. */
  async kill(drawn: number): Promise<void> {
    const [process] = this.#running.splice(Math.floor(drawn * this.#running.length), 1);
    await process?.kill();
    this.killed++;
  }

  /** Kills all of them. */
  async killAll(): Promise<void> {
    await Promise.all(this.#running.splice(0).map((process) => process.kill()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#all.map((process) => process.kill()));
  }
}
