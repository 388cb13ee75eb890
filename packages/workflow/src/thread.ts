import { MeshError, type Checkpointer, type StoredThread } from "@plexus/core";
import type { Effect, ThreadEvent } from "./event.ts";
import { Machine } from "./machine.ts";
import type { Plan } from "./plan.ts";
import { decodeEvents, decodeSnapshot, type Recorded } from "./record.ts";
import { emptyRun, type RunState } from "./run.ts";
import { initialValues } from "./schedule.ts";
import { planOf, skeletonOf, type Skeleton } from "./skeleton.ts";

/** A thread as it is read: the fold of its events, each under the graph that it was recorded under. */
export class ThreadReader {
  readonly #current: Plan;
  #machine: Machine;
  #graph: Skeleton | undefined;
  /** Of the last event; 0: nothing was recorded. */
  position = 0;
  at = 0;

  constructor(current: Plan, snapshot?: StoredThread["snapshot"]) {
    this.#current = current;
    if (snapshot === undefined) {
      this.#machine = new Machine(current, emptyRun(initialValues(current)));
      return;
    }
    const { at, graph, run } = decodeSnapshot(snapshot.parts);
    this.position = snapshot.position;
    this.at = at;
    this.#graph = graph;
    this.#machine = new Machine(this.#planOf(graph), run);
  }

  get run(): RunState {
    return this.#machine.run;
  }

  get plan(): Plan {
    return this.#machine.plan;
  }

  /** The graph of the last events; undefined: none was recorded. */
  get graph(): Skeleton | undefined {
    return this.#graph;
  }

  /** Takes what was recorded in. Throws `GRAPH_CHANGED` if it cannot have been recorded in this state. */
  apply({ event, position, at }: Recorded): readonly Effect[] {
    const effects = this.#apply(event);
    if (effects === undefined) {
      throw new MeshError(
        "GRAPH_CHANGED",
        `Record ${position} (${event.type}) does not follow from what stands before it.`,
        { details: { position } },
      );
    }
    this.position = position;
    this.at = at;
    return effects;
  }

  #apply(event: ThreadEvent): readonly Effect[] | undefined {
    if (event.type !== "graph") return this.#machine.handle(event);
    const fresh = this.#graph === undefined && event.state === undefined;
    this.#graph = event.graph;
    const plan = this.#planOf(event.graph);
    const run = fresh ? emptyRun(initialValues(plan)) : (event.state ?? this.run);
    this.#machine = new Machine(plan, run);
    return [];
  }

  #planOf(graph: Skeleton): Plan {
    return graph.hash === this.#current.hash && graph.version === this.#current.version
      ? this.#current
      : planOf(graph, this.#current);
  }
}

/** Reads a thread to its end. */
export function readThread(current: Plan, stored: StoredThread): ThreadReader {
  const reader = new ThreadReader(current, stored.snapshot);
  for (const recorded of decodeEvents(stored.records)) reader.apply(recorded);
  return reader;
}

/** Reads a thread as it was before its run `last` began; undefined if that is not its last one. */
export async function readBefore(
  current: Plan,
  checkpointer: Checkpointer,
  thread: string,
  last: string,
): Promise<ThreadReader | undefined> {
  const { records } = await checkpointer.read(thread, { whole: true });
  let upTo: number | undefined;
  let previous = 0;
  for (const { event, position } of decodeEvents(records)) {
    if (event.type === "start") upTo = event.run === last ? previous : undefined;
    previous = position;
  }
  if (upTo === undefined) return undefined;
  return readThread(current, await checkpointer.read(thread, { upTo }));
}

/** What is recorded before the first event under a graph. */
export function graphEvent(plan: Plan, state?: RunState): ThreadEvent {
  return { type: "graph", graph: skeletonOf(plan), ...(state ? { state } : {}) };
}
