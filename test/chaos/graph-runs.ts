import type { Entity } from "@plexus/core";
import type { Mesh } from "@plexus/mesh";
import { remoteGraph, type DurabilityMode } from "@plexus/workflow";
import { graphContract } from "../../packages/workflow/src/graph-contract.ts";
import { World } from "../support/random-graph.ts";
import type { RunProgress } from "./graph-progress.ts";
import { difference, runCalmly, runToTheEnd, whatCame } from "./graph-records.ts";
import { compileGraph, type SuiteGraph } from "./graph-suite.ts";

/** A run that has ended. */
interface Done {
  readonly thread: string;
  readonly graph: SuiteGraph;
  readonly end: string;
}

const DURABILITIES: readonly DurabilityMode[] = ["sync", "async", "exit"];
const AT_ONCE = 8;

/** Runs that are begun, answered and waited for here and executed elsewhere: so many at a time, of one graph after the other. */
export class GraphRuns {
  readonly done: Done[] = [];
  readonly #mesh: Mesh;
  readonly #suite: readonly SuiteGraph[];
  readonly #progress: RunProgress;
  readonly #lanes: Promise<unknown>;
  #begun = 0;
  #ending = false;

  constructor(mesh: Mesh, suite: readonly SuiteGraph[], lanes: number, progress: RunProgress) {
    this.#mesh = mesh;
    this.#suite = suite;
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
      await Promise.all(this.#suite.map(async (graph) => [graph, await runCalmly(graph)] as const)),
    );
    const wrong: string[] = [];
    const left = [...this.done];
    const lane = async (): Promise<void> => {
      for (let run = left.pop(); run !== undefined; run = left.pop()) {
        const { graph, thread, end } = run;
        const store = this.#mesh.threads(contractOf(graph));
        // oxlint-disable-next-line no-await-in-loop -- one of several that go side by side
        const came = await whatCame(store, compileGraph(graph, new World(), store), thread, end);
        const how = difference(came, calm.get(graph)!);
        if (how !== undefined) wrong.push(`${thread} ${how}`);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, lane));
    return wrong;
  }

  /** How a thread stands, in words. */
  async describe(thread: string): Promise<string> {
    const graph = this.#suite.find(({ name }) => thread.startsWith(`${name}-`))!;
    const store = this.#mesh.threads(contractOf(graph));
    const snapshot = compileGraph(graph, new World(), store).getState(thread);
    const told = await snapshot.then(JSON.stringify, (error: Error) => error.message);
    return `${thread}: ${told}`;
  }

  async #lane(): Promise<void> {
    while (!this.#ending) {
      const n = this.#begun++;
      const graph = this.#suite[n % this.#suite.length]!;
      const durability = DURABILITIES[Math.floor(n / this.#suite.length) % DURABILITIES.length]!;
      const thread = `${graph.name}-${durability}-${n}`;
      const remote = remoteGraph(this.#mesh, compileGraph(graph, new World()));
      this.#progress.begins(thread);
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      const end = await runToTheEnd(remote, thread, durability);
      this.#progress.ends(thread);
      this.done.push({ thread, graph, end });
    }
  }
}

function contractOf({ name }: SuiteGraph): Entity {
  return graphContract(name);
}
