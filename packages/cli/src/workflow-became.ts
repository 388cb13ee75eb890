import { setTimeout as sleep } from "node:timers/promises";
import { isMeshError } from "@plexus/core";
import type { BusyPolicy, DurabilityMode, StateSnapshot } from "@plexus/workflow";
import type { OutcomeOptions } from "./workflow-outcome.ts";

const AGAIN_MS = 500; // what was told a moment ago is being recorded
const LOOK_MS = 5_000;

/** A run that a command has begun. */
export interface Begun {
  readonly run: string;
  readonly busy?: BusyPolicy;
  readonly durability?: DurabilityMode;
}

/**
 * What has become of a run that is no longer waited for, as it is recorded, and what one may do next.
 * @param isUnhosted whether nobody hosts the graph, as far as is known
 */
export async function whatBecame(options: OutcomeOptions, isUnhosted = false): Promise<string> {
  const { executed, begun, next } = options;
  const state = await recorded(options);
  if (state === "unknown") return `What is recorded of the run: \`${next("show")}\`.`;
  if (state === "nothing") {
    if (begun?.durability === "exit") return "Nothing of the run is recorded yet.";
    if (begun?.busy === undefined || begun.busy === "reject") return "Nothing was begun.";
    return "Nothing was begun yet: another run comes before it.";
  }
  switch (state.status) {
    case "running":
    case "compensating": {
      const when = executed.isHere || isUnhosted ? " when somebody serves the graph" : "";
      return `The run goes on${when}: \`${next("watch")}\`, or \`${next("cancel")}\`.`;
    }
    case "waiting":
      return `The run waits: \`${next("show")}\`.`;
    case "idle":
      return "Nothing was begun.";
    default:
      return `The run is over, ${state.status}: \`${next("show")}\`.`;
  }
}

/** The state of the run, if it is recorded at all. */
async function recorded(options: OutcomeOptions): Promise<StateSnapshot | "nothing" | "unknown"> {
  const late = sleep(LOOK_MS, "unknown" as const, { ref: false });
  const looked = look(options);
  looked.catch(() => undefined);
  try {
    const first = await Promise.race([looked, late]);
    if (first !== "nothing") return first;
    await sleep(AGAIN_MS);
    return await Promise.race([look(options), late]);
  } catch {
    return "unknown";
  }
}

async function look({
  executed,
  thread,
  begun,
}: OutcomeOptions): Promise<StateSnapshot | "nothing"> {
  try {
    const state = await executed.graph.getState(thread);
    return begun !== undefined && state.run !== begun.run ? "nothing" : state;
  } catch (error) {
    if (isMeshError(error, "NO_RUN")) return "nothing";
    throw error;
  }
}
