import type { Checkpointer } from "@plexus/core";
import { Command, MemoryCheckpointer, type CompiledGraph, type RunResult } from "@plexus/workflow";
import type { DurabilityMode } from "@plexus/workflow";
import type { ThreadEvent } from "../../packages/workflow/src/event.ts";
import { decodeEvents } from "../../packages/workflow/src/record.ts";
import { readThread } from "../../packages/workflow/src/thread.ts";
import { World } from "../support/random-graph.ts";
import type { SuiteRun } from "./graph-suite.ts";

/** What a run has come to. */
export interface Come {
  /** `completed`, or what it failed with. */
  readonly end: string;
  readonly values: string;
  /** What was recorded, in words, sorted: what of it happens at the same time has no order. */
  readonly records: readonly string[];
  /** Executions that undid something, in their order. */
  readonly undone: readonly string[];
}

/** A graph, here or elsewhere. */
interface Runs {
  invoke(
    input: object | Command,
    options: {
      readonly thread: string;
      readonly durability: DurabilityMode;
    },
  ): Promise<RunResult<unknown>>;
  signal(thread: string, event: string, value: unknown): Promise<RunResult<unknown>>;
}

/** Begins a run, answers what it asks and sends what it waits for. Returns how it ends. */
export async function runToTheEnd(
  graph: Runs,
  input: object,
  thread: string,
  durability: DurabilityMode,
): Promise<string> {
  const options = { thread, durability };
  try {
    let result = await graph.invoke(input, options);
    let light = 0;
    while (result.status === "waiting") {
      const [question] = result.interrupts;
      result = question
        ? await graph.invoke(
            new Command({ resume: `to ${String(question.value)}`, interrupt: question.id }),
            options,
          )
        : await graph.signal(thread, "go", light++ % 2 === 0 ? "red" : "green");
    }
    return "completed";
  } catch (error) {
    return (error as Error).message;
  }
}

/** What a run comes to when nothing disturbs it. */
export async function runCalmly({ graph, input }: SuiteRun): Promise<Come> {
  const store = new MemoryCheckpointer();
  const calm = graph.compile(new World(), store);
  return whatCame(store, calm, "calm", await runToTheEnd(calm, input, "calm", "sync"));
}

/** What is recorded of a thread. Rejects with `GRAPH_CHANGED` if a record does not follow from those before it. */
export async function whatCame(
  store: Checkpointer,
  { plan }: Pick<CompiledGraph, "plan">,
  thread: string,
  end: string,
): Promise<Come> {
  const stored = await store.read(thread, { whole: true });
  const { values } = readThread(plan, stored).run;
  const events = [...decodeEvents(stored.records)]
    .map(({ event }) => event)
    .filter(({ type }) => type !== "takeover"); // of which a calm run has none
  const failed = events.findLastIndex(
    (event) => event.type === "failed" && !event.retryAt && !event.instead,
  );
  const undone = failed < 0 ? [] : events.slice(failed + 1).map(inWords);
  return { end, values: JSON.stringify(values), records: events.map(inWords).toSorted(), undone };
}

/** How what came differs from what was to come, in words; undefined if it does not. */
export function difference(came: Come, calm: Come): string | undefined {
  if (came.end !== calm.end) return `ended with ${came.end}, not ${calm.end}`;
  if (came.values !== calm.values) return `has ${came.values}, not ${calm.values}`;
  const [more, less] = [without(came.records, calm.records), without(calm.records, came.records)];
  if (more.length > 0) return `recorded besides, or twice: ${more.join(", ")}`;
  if (less.length > 0) return `did not record: ${less.join(", ")}`;
  if (came.undone.join() !== calm.undone.join()) return `undid ${came.undone.join(", ")}`;
  return undefined;
}

/** What the list has more of, or more often. */
function without(list: readonly string[], other: readonly string[]): string[] {
  const left = [...other];
  return list.filter((one) => {
    const at = left.indexOf(one);
    if (at >= 0) left.splice(at, 1);
    return at < 0;
  });
}

/** An event without what depends on the clock or names this one run. */
function inWords(event: ThreadEvent): string {
  return JSON.stringify(event, (key, value: unknown) => {
    if (key === "run" || key === "id" || key === "details") return undefined;
    return key === "retryAt" || key === "until" ? "then" : value;
  });
}
