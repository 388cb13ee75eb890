import { isMeshError } from "@plexus/core";
import type { RemoteGraph, RunResult, StateSnapshot } from "@plexus/workflow";
import { EXIT } from "./exit-codes.ts";
import { isOfRun } from "./failure.ts";
import { fired } from "./interrupt.ts";
import { note, oneLine, paint, print, printJson, toText } from "./output.ts";
import { showProgress, type Progress } from "./workflow-progress.ts";
import type { NextCommand } from "./workflow-target.ts";

/** A run under way, and what it tells if that is known here. */
export interface Running {
  readonly progress?: Progress;
  readonly result: Promise<RunResult<unknown>>;
}

export interface OutcomeOptions {
  readonly graph: RemoteGraph;
  /** Whether this process executes it, and perhaps no other. */
  readonly isHere: boolean;
  readonly json: boolean;
  /** Where to show what happens meanwhile. */
  readonly out: NodeJS.WritableStream;
  /** Ctrl-C: it ends the waiting and not the run. */
  readonly signal: AbortSignal;
  /** Commands about the thread, for what one may do next. */
  readonly next: NextCommand;
}

/** Shows a run until it rests. Rejects as the run does, and then says what can be done. */
export async function follow(
  { progress, result }: Running,
  options: OutcomeOptions,
): Promise<RunResult<unknown>> {
  const { signal, next, json, isHere } = options;
  const told = progress && showProgress(progress, options);
  told?.catch(() => undefined); // it fails as the run does
  try {
    const rested = await Promise.race([result, fired(signal)]);
    if (rested === undefined) throw signal.reason;
    await told;
    return rested;
  } catch (error) {
    result.catch(() => undefined);
    if (signal.aborted && !json) {
      const when = isHere ? " when somebody serves the graph" : "";
      note(`The run goes on${when}: \`${next("watch")}\`, or \`${next("cancel")}\`.`);
    } else if (hasFailed(error) && !json) {
      await told?.catch(() => undefined);
      note(`Try it again from there: \`${next("resume")}\`.`);
    }
    throw error;
  }
}

/** Prints what a run has come to, and sets the exit code. */
export async function showResult(
  result: RunResult<unknown>,
  { graph, json, next }: OutcomeOptions,
): Promise<void> {
  const { thread, status, output } = result;
  if (status === "waiting") process.exitCode = EXIT.waiting;
  if (json) printJson({ result });
  else if (status === "completed") print(toText(output));
  else {
    for (const line of openWaits(await graph.getState(thread), next)) print(line);
  }
}

/** What a run waits for, each with the command that tells it. */
export function openWaits(
  { interrupts, waits, paused = [] }: Pick<StateSnapshot, "interrupts" | "waits" | "paused">,
  next: NextCommand,
): string[] {
  const questions = interrupts.flatMap(({ id, node, value, problem }) => {
    const which = interrupts.length > 1 ? ["--interrupt", id] : [];
    return [
      `${paint("bold", oneLine(node))} asks: ${oneLine(toText(value))}`,
      ...(problem === undefined ? [] : [`  not taken: ${oneLine(problem)}`]),
      `  ${next("resume", ...which, "--answer", "<answer>")}`,
    ];
  });
  const others = waits.flatMap(({ node, event, until }) => {
    const end = until === undefined ? "" : `until ${new Date(until).toISOString()}`;
    const what = event === undefined ? end : `for event ${oneLine(event)} ${end}`.trimEnd();
    return [
      `${paint("bold", oneLine(node))} waits ${what}`,
      ...(event === undefined
        ? []
        : [`  ${next("resume", "--signal", `${oneLine(event)}=<json>`)}`]),
    ];
  });
  const nodes = paused.map(oneLine).join(", ");
  const kept =
    nodes === "" ? [] : [`${paint("bold", nodes)}: at a breakpoint`, `  ${next("resume")}`];
  return [...questions, ...others, ...kept];
}

/** Whether a run has failed, and not the waiting for it. */
function hasFailed(error: unknown): boolean {
  return isMeshError(error) && error.code !== "CANCELED" && isOfRun(error);
}
