import { spawnNode, type NodeProcess } from "@plexus/testing";

interface Keeper {
  readonly process: NodeProcess;
  readonly instance: string;
}

/** The processes that host meters: they join and leave, and end in every way. */
export class Keepers implements AsyncDisposable {
  readonly #servers: string;
  readonly #execArgv: string[];
  readonly #running: Keeper[] = [];
  readonly #ending = new Set<Promise<unknown>>();
  readonly #all = new Set<NodeProcess>();
  killed = 0;
  left = 0;
  joined = 0;

  /** @param built whether they run the built packages, which start in a third of the time, or the sources */
  constructor(servers: string, built: boolean) {
    this.#servers = servers;
    this.#execArgv = built ? [] : ["--conditions=plexus-source"];
  }

  get count(): number {
    return this.#running.length;
  }

  get instances(): string[] {
    return this.#running.map(({ instance }) => instance);
  }

  async join(): Promise<string> {
    const process = spawnNode(new URL("./agents/keeper.ts", import.meta.url), {
      env: { PLEXUS_SERVERS: this.#servers, PLEXUS_LOG_LEVEL: "silent" },
      execArgv: this.#execArgv,
    });
    this.#all.add(process);
    const ready = await process.waitForLine("ready ", 60_000);
    const instance = ready.slice("ready ".length);
    this.#running.push({ process, instance });
    this.joined++;
    return instance;
  }

  /** SIGKILL. */
  async kill(drawn: number): Promise<string> {
    const { process, instance } = this.#take(drawn);
    await process.kill();
    this.killed++;
    return instance;
  }

  /** SIGTERM: it hands over what it has. Resolves when it has been told. */
  leave(drawn: number): string {
    const { process, instance } = this.#take(drawn);
    const ended = process.kill("SIGTERM");
    this.#ending.add(ended);
    void ended.then(() => this.#ending.delete(ended));
    this.left++;
    return instance;
  }

  /** SIGSTOP, and SIGCONT after a while. */
  async freeze(drawn: number, ms: number): Promise<string> {
    const { process, instance } = this.#running[Math.floor(drawn * this.count)]!;
    await process.pause();
    setTimeout(() => process.resume(), ms);
    return instance;
  }

  /** Resolves when all that were told to leave have done so. */
  async gone(): Promise<void> {
    await Promise.all(this.#ending);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#all].map((process) => process.kill()));
  }

  #take(drawn: number): Keeper {
    return this.#running.splice(Math.floor(drawn * this.count), 1)[0]!;
  }
}
