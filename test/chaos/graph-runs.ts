import type { Checkpointer } from "@plexus/core";
import type { Mesh } from "@plexus/mesh";
import { remoteGraph, type DurabilityMode } from "@plexus/workflow";
import { graphContract } from "../../packages/workflow/src/graph-contract.ts";
import { World } from "../support/random-graph.ts";
import type { RunProgress } from "./graph-progress.ts";
import { difference, runCalmly, runToTheEnd, whatCame } from "./graph-records.ts";
import type { SuiteRun } from "./graph-suite.ts";

/** A run that has ended. */
interface Done {
  readonly thread: string;
  readonly run: SuiteRun;
  readonly end: string;
}

const DURABILITIES: readonly DurabilityMode[] = ["sync", "async", "exit"];
const AT_ONCE = 32;
/** Of those who execute nothing. */
const world = new World();

/** Runs that are begun, answered and waited for here and executed elsewhere: so many at a time, of one graph after the other. */
export class GraphRuns {
  readonly done: Done[] = [];
  readonly #mesh: Mesh;
  readonly #runs: readonly SuiteRun[];
  readonly #progress: RunProgress;
  readonly #lanes: Promise<unknown>;
  #begun = 0;
  #ending = false;

  constructor(mesh: Mesh, runs: readonly SuiteRun[], lanes: number, progress: RunProgress) {
    this.#mesh = mesh;
    this.#runs = runs;
    this.#progress = progress;
    this.#lanes = Promise.all(Array.from({ length: lanes }, () => this.#lane()));
    this.#lanes.catch(() => undefined); // told by end()
  }

  /** Begins no more. Resolves when the last one has ended. */
  async end(): Promise<void> {
    this.#ending = true;
    await this.#lanes;
  }

  /** How what came of each run differs from the calm run of its graph, in words. */
  async audit(): Promise<string[]> {
    const calm = new Map(
      await Promise.all(this.#runs.map(async (run) => [run, await runCalmly(run)] as const)),
    );
    const wrong: string[] = [];
    const left = [...this.done];
    const lane = async (): Promise<void> => {
      for (let done = left.pop(); done !== undefined; done = left.pop()) {
        const { run, thread, end } = done;
        const store = this.#storeOf(run);
        const how = await whatCame(store, run.graph.compile(world), thread, end).then(
          (came) => difference(came, calm.get(run)!),
          (error: Error) => `cannot be read: ${error.message}`,
        );
        if (how !== undefined) wrong.push(`${thread} ${how}`);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, lane));
    return wrong;
  }

  /** How a thread stands, in words. */
  async describe(thread: string): Promise<string> {
    const run = this.#runs.find(({ name }) => thread.startsWith(`${name}_`))!;
    const store = this.#storeOf(run);
    const snapshot = run.graph.compile(world, store).getState(thread);
    const told = await snapshot.then(JSON.stringify, (error: Error) => error.message);
    return `${thread}: ${told}`;
  }

  #storeOf({ graph }: SuiteRun): Checkpointer {
    return this.#mesh.threads(graphContract(graph.name));
  }

  async #lane(): Promise<void> {
    while (!this.#ending) {
      const n = this.#begun++;
      const run = this.#runs[n % this.#runs.length]!;
      const durability = DURABILITIES[Math.floor(n / this.#runs.length) % DURABILITIES.length]!;
      const thread = `${run.name}_${durability}_${n}`;
      const remote = remoteGraph(this.#mesh, run.graph.compile(world));
      this.#progress.begins(thread);
      const end = await runToTheEnd(remote, run.input, thread, durability);
      this.#progress.ends(thread);
      this.done.push({ thread, run, end });
    }
  }
}
