import { mkdtemp, readFile, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { spawnNode, type NodeProcess } from "@plexus/testing";
import type { Execution } from "./recoveries.ts";

/** One process that executes tasks. */
export interface ClerkProcess {
  readonly number: number;
  readonly process: NodeProcess;
}

const START_MS = 60_000;

/** The processes of a campaign that execute tasks, and what they have written down of it. */
export class Clerks implements AsyncDisposable {
  readonly #servers: string;
  readonly #slots: number;
  readonly #directory: string;
  readonly #all = new Set<NodeProcess>();
  readonly #ready = new Set<ClerkProcess>();
  #started = 0;
  /** When processes were killed or stopped: by number, milliseconds since the epoch. */
  readonly lostAt = new Map<number, number>();

  private constructor(servers: string, slots: number, directory: string) {
    this.#servers = servers;
    this.#slots = slots;
    this.#directory = directory;
  }

  /** Starts so many, each with so many slots. */
  static async start(servers: string, count: number, slots: number): Promise<Clerks> {
    const directory = await mkdtemp(join(tmpdir(), "plexus-chaos-"));
    const clerks = new Clerks(servers, slots, directory);
    try {
      await Promise.all(Array.from({ length: count }, () => clerks.add()));
      return clerks;
    } catch (error) {
      await clerks[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Starts one more; resolves when it takes tasks. */
  async add(): Promise<void> {
    const number = this.#started++;
    const process = spawnNode(new URL("./agents/clerk.ts", import.meta.url), {
      args: [join(this.#directory, String(number)), String(this.#slots)],
      env: { PLEXUS_SERVERS: this.#servers, PLEXUS_LOG_LEVEL: "silent" },
    });
    this.#all.add(process);
    await process.waitForLine("ready", START_MS);
    this.#ready.add({ number, process });
  }

  /** One of those that take tasks, chosen by a number from 0 to 1; undefined: all others are still starting. */
  pick(random: number): ClerkProcess | undefined {
    return [...this.#ready][Math.floor(random * this.#ready.size)];
  }

  async kill(clerk: ClerkProcess): Promise<void> {
    this.#ready.delete(clerk);
    this.lostAt.set(clerk.number, Date.now());
    await clerk.process.kill();
  }

  /** Ends one that is lost already. */
  async end(clerk: ClerkProcess): Promise<void> {
    this.#ready.delete(clerk);
    await clerk.process.kill();
  }

  /** Makes it stand still. */
  async pause(clerk: ClerkProcess): Promise<void> {
    this.lostAt.set(clerk.number, Date.now());
    await clerk.process.pause();
  }

  /** Everything that was ever executed. */
  async executions(): Promise<Execution[]> {
    const files = await readdir(this.#directory);
    const read = files.map(async (file) => {
      const text = await readFile(join(this.#directory, file), "utf8");
      return text
        .trimEnd()
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => {
          const [task = "", startedAt] = line.split(" ");
          return { task, host: Number(file), startedAt: Number(startedAt) };
        });
    });
    return (await Promise.all(read)).flat();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#all].map((process) => process.kill()));
    await rm(this.#directory, { recursive: true, force: true });
  }
}
