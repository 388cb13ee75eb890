import type { Mesh } from "@plexus/mesh";
import { isMeshError } from "@plexus/core";
import { END, START, StateGraph, hostGraph, remoteGraph } from "@plexus/workflow";
import * as z from "zod";
import type { TestResult } from "../run-tests.ts";
import type { Tree } from "../tree.ts";
import type { Commit, History } from "../workplace.ts";

/** What the search for a bad commit needs of the integrator. */
export interface Searcher {
  readonly history: History;
  test(tree: Tree, files: readonly string[], signal: AbortSignal): Promise<TestResult>;
  /** Takes a bad commit out, or has it mended. */
  settle(bad: Commit, failures: readonly string[], head: number): Promise<void>;
}

/** What is looked for: the first version, after a good one and up to a bad one, in which tests in these files fail. */
export interface Suspicion {
  readonly good: number;
  readonly bad: number;
  readonly files: readonly string[];
  readonly failures: readonly string[];
}

/** The search of an integrator. */
export interface Search extends AsyncDisposable {
  /** False: there is no commit to blame. */
  find(suspicion: Suspicion): Promise<boolean>;
  /** Sees a search through that an earlier life of the integrator has begun. */
  finish(): Promise<void>;
}

const THREAD = "search";

/**
 * The search for the commit that broke the tests, as a graph: each look halves what is left, and is recorded. An integrator that is
 * killed in the middle goes on where it was in its next life, instead of running the tests of all those versions again.
 */
export async function openSearch(mesh: Mesh, searcher: Searcher): Promise<Search> {
  const graph = new StateGraph(
    {
      good: z.number().int(),
      bad: z.number().int(),
      /** Where it began. */
      head: z.number().int(),
      files: z.array(z.string()),
      failures: z.array(z.string()),
      found: z.boolean(),
    },
    { name: "crew-search" },
  )
    .addNode(
      "look",
      async ({ good, bad, files }, { signal }) => {
        if (bad - good <= 1) return {};
        const middle = Math.floor((good + bad) / 2);
        const { failed } = await searcher.test(await searcher.history.tree(middle), files, signal);
        return failed === 0 ? { good: middle } : { bad: middle };
      },
      { retry: { attempts: 3 } },
    )
    .addNode(
      "settle",
      async ({ bad, head, failures }) => {
        const commits = await searcher.history.commits();
        const blamed = commits.find(({ version }) => version === bad);
        if (blamed !== undefined) await searcher.settle(blamed, failures, head);
        return { found: blamed !== undefined };
      },
      { retry: { attempts: 3 } },
    )
    .addEdge(START, "look")
    .addConditionalEdges("look", ({ good, bad }) => (bad - good > 1 ? "look" : "settle"), [
      "look",
      "settle",
    ])
    .addEdge("settle", END)
    .compile();
  const hosted = await hostGraph(mesh, graph, { lease: "1s" });
  const searches = remoteGraph(mesh, graph);
  return {
    async find({ good, bad, files, failures }) {
      const input = { good, bad, head: bad, files: [...files], failures: [...failures] };
      const { output } = await searches.invoke(input, { thread: THREAD });
      return output.found;
    },
    async finish() {
      try {
        const { status } = await searches.getState(THREAD);
        if (status === "running") await searches.watch(THREAD, { mode: "updates" }).result;
      } catch (error) {
        if (!isMeshError(error, "NO_RUN")) throw error;
      }
    },
    [Symbol.asyncDispose]: () => hosted.drain(),
  };
}
