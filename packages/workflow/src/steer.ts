import { MeshError } from "@plexus/core";
import type { Command } from "./command.ts";
import type { Driver } from "./driver.ts";
import type { InvokeOptions } from "./graph-options.ts";
import { waitingTasks } from "./look.ts";
import { demandRetry } from "./migration.ts";
import { canRetry, isOver } from "./task.ts";

/* What callers tell a run that exists. */

/** Throws `NO_RUN` if there is surely nothing to go on with. */
export function demandRun({ run }: Driver, thread: string): void {
  if (isOver(run) && run.status !== "failed") throw nothing(thread);
}

/** Goes on where a run is paused, was left, or has failed. */
export function goOn(driver: Driver, thread: string, id: string | undefined): void {
  const told = id === undefined ? {} : { id };
  if (driver.take({ type: "proceed", ...told })) return;
  if (!isOver(driver.run)) return;
  if (canRetry(driver.run)) demandRetry(driver.run, driver.plan);
  if (driver.take({ type: "retry", ...told })) return;
  throw nothing(thread);
}

function nothing(thread: string): MeshError {
  return new MeshError("NO_RUN", `On thread ${thread} there is no run to go on with.`);
}

/** The task that asks what the command answers: the one that it names, or the only one. */
export function askedBy({ run }: Driver, { resume, interrupt }: Command, thread: string): string {
  if (resume === undefined) {
    throw new MeshError("INVALID_INPUT", "A command without resume is for nodes to return.");
  }
  const open = [...waitingTasks(run)].filter(
    ({ task }) => task.state.is === "waiting" && task.state.wait.kind === "interrupt",
  );
  const ids = open.map((one) => one.id);
  const which = interrupt ?? (ids.length === 1 ? ids[0] : undefined);
  if (ids.length === 0) {
    throw new MeshError("NO_RUN", `On thread ${thread} no run waits for an answer.`);
  }
  if (which === undefined || !ids.includes(which)) {
    throw new MeshError(
      "INVALID_INPUT",
      `The run on thread ${thread} waits for ${ids.length} answers: say which one, by interrupt: ${ids.join(", ")}.`,
      { details: { interrupts: ids } },
    );
  }
  return which;
}

/** What a repeated input is told whose run is not the last one any more. */
export function succeeded(thread: string, run: string): MeshError {
  return new MeshError("CONFLICT", `Another run has followed run ${run} on thread ${thread}.`);
}

/** True if the command of that id has been taken in already. */
export function wasTaken({ run }: Driver, id: string | undefined): boolean {
  return id !== undefined && run.taken.includes(id);
}

/** Tells the driver something, with whoever wants to hear of what follows; nobody hears more if it does not take that. */
export function takeIn(driver: Driver, options: InvokeOptions, tell: () => void): void {
  const { listener, signal, begun } = options;
  if (listener) driver.listen(listener);
  try {
    tell();
  } catch (error) {
    if (listener) driver.unlisten(listener);
    throw error;
  }
  driver.cancelOn(signal);
  begun?.(driver.run.run);
}
