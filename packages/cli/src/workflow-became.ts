import { setTimeout as sleep } from "node:timers/promises";
import { isMeshError } from "@plexus/core";
import type { BusyPolicy, DurabilityMode, StateSnapshot } from "@plexus/workflow";
import { presence } from "./workflow-executed.ts";
import type { OutcomeOptions } from "./workflow-outcome.ts";

const AGAIN_MS = 500; // what was told a moment ago is being recorded
const LOOK_MS = 5_000;

/** A run that a command has begun. */
export interface Begun {
  readonly run: string;
  readonly busy?: BusyPolicy;
  readonly durability?: DurabilityMode;
}

/** What has become of a run that is no longer waited for, as it is recorded, and what one may do next. */
export async function whatBecame(options: OutcomeOptions): Promise<string> {
  const { mesh, executed, begun, next } = options;
  const state = await recorded(options);
  if (state === "unknown") return `What is recorded of the run: \`${next("show")}\`.`;
  if (state === "nothing") {
    if (begun?.durability === "exit") return "Nothing is recorded of the run before it rests.";
    if (begun?.busy === undefined || begun.busy === "reject") return "Nothing was begun.";
    return "Nothing was begun yet; it may be when the thread is free.";
  }
  if (goesOn(state)) {
    const others = await presence(mesh, executed.graph.name).catch(() => "silent");
    const when = executed.isHere || others !== "there" ? " when somebody serves the graph" : "";
    return `The run goes on${when}: \`${next("watch")}\`, or \`${next("cancel")}\`.`;
  }
  if (state.status === "idle") return "Nothing was begun.";
  const waits = state.status === "waiting" || state.status === "compensating";
  const how = waits ? "waits" : `is over, ${state.status}`;
  return `The run ${how}: \`${next("show")}\`.`;
}

/** Whether a run goes on by itself: it is being executed, or sleeps. */
function goesOn({ status, interrupts, waits, paused = [] }: StateSnapshot): boolean {
  if (status !== "waiting" && status !== "compensating") return status === "running";
  if (interrupts.length > 0 || paused.length > 0) return false;
  return waits.length === 0 || waits.some(({ until }) => until !== undefined);
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
