import { setTimeout as sleep } from "node:timers/promises";
import { spawnNode, type NodeProcess } from "@plexus/testing";

/** What the processes are started with. */
export interface GraphHostsOptions {
  readonly servers: string;
  readonly seed: number;
  readonly graphs: number;
  /** How many there are to be. */
  readonly hosts: number;
  readonly lease: string;
  /** Whether they run the built packages, which start in a third of the time, or the sources. */
  readonly built: boolean;
}

const START_MS = 60_000;
const ATTEMPTS = 3;

/** The processes that host the graphs of a suite: they are killed, and stand still for a while. */
export class GraphHosts implements AsyncDisposable {
  readonly #options: GraphHostsOptions;
  readonly #awake = new Set<NodeProcess>();
  readonly #all = new Set<NodeProcess>();
  /** How often each execution, and each effect, was begun. */
  readonly begun = new Map<string, number>();
  killed = 0;
  frozen = 0;
  #asleep = 0;
  /** Why one could not be started. */
  #failure: unknown;

  constructor(options: GraphHostsOptions) {
    this.#options = options;
  }

  /** Resolves when one can be taken away: at most one is still starting, and two work. */
  async enough(): Promise<void> {
    const enough = (): boolean =>
      this.#awake.size > 1 && this.#awake.size + this.#asleep >= this.#options.hosts - 1;
    while (!enough()) {
      if (this.#failure !== undefined) throw this.#failure;
      await sleep(20);
    }
  }

  /** Starts one more; resolves when it hosts the graphs. One that meets no broker gives up, and another one is started. */
  async join(): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      const host = this.#start();
      try {
        await host.waitForLine("ready", START_MS);
        this.#awake.add(host);
        return;
      } catch (error) {
        if (attempt < ATTEMPTS) continue;
        this.#failure = error;
        throw error;
      }
    }
  }

  #start(): NodeProcess {
    const { servers, seed, graphs, lease, built } = this.#options;
    const host = spawnNode(new URL("./agents/graph-host.ts", import.meta.url), {
      args: [String(seed), String(graphs), lease],
      env: { PLEXUS_SERVERS: servers, PLEXUS_LOG_LEVEL: "silent" },
      execArgv: built ? [] : ["--conditions=plexus-source"],
    });
    this.#all.add(host);
    void this.#listen(host);
    return host;
  }

  /** SIGKILL, to one of those that work. */
  async kill(drawn: number): Promise<void> {
    const host = this.#draw(drawn);
    this.killed++;
    await host.kill();
    this.#all.delete(host);
  }

  /** SIGSTOP, and SIGCONT after a while. Resolves when it works again. */
  async freeze(drawn: number, ms: number): Promise<void> {
    const host = this.#draw(drawn);
    this.frozen++;
    this.#asleep++;
    await host.pause();
    await sleep(ms);
    host.resume();
    this.#asleep--;
    this.#awake.add(host);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#all].map((host) => host.kill()));
  }

  #draw(drawn: number): NodeProcess {
    const host = [...this.#awake][Math.floor(drawn * this.#awake.size)]!;
    this.#awake.delete(host);
    return host;
  }

  async #listen(host: NodeProcess): Promise<void> {
    for await (const line of host.lines()) {
      if (!line.startsWith("did ")) continue;
      const what = line.slice("did ".length);
      this.begun.set(what, (this.begun.get(what) ?? 0) + 1);
    }
  }
}
