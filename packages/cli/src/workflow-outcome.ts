import { isMeshError } from "@plexus/core";
import type { Mesh } from "@plexus/mesh";
import type { RunResult, StateSnapshot } from "@plexus/workflow";
import { EXIT } from "./exit-codes.ts";
import { isOfRun, withHints } from "./failure.ts";
import { fired } from "./interrupt.ts";
import { note, oneLine, paint, print, printJson, toText } from "./output.ts";
import { whatBecame, type Begun } from "./workflow-became.ts";
import type { ExecutedGraph } from "./workflow-executed.ts";
import { showProgress, type Progress } from "./workflow-progress.ts";
import type { NextCommand } from "./workflow-target.ts";

const OF_WAITING = ["TIMEOUT", "NO_AGENT", "AGENT_LOST"] as const;

/** A run under way, and what it tells if that is known here. */
export interface Running {
  readonly progress?: Progress;
  readonly result: Promise<RunResult<unknown>>;
}

export interface OutcomeOptions {
  readonly mesh: Mesh;
  readonly executed: Pick<ExecutedGraph, "graph" | "isHere">;
  readonly thread: string;
  /** The run that was begun, if one was. */
  readonly begun?: Begun;
  /** Whether an answer was given: only then is it told that it was not taken. */
  readonly answered?: boolean;
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
  const { signal, next, json } = options;
  const told = progress && showProgress(progress, options);
  told?.catch(() => undefined); // it fails as the run does
  try {
    const rested = await Promise.race([result, fired(signal)]);
    if (rested === undefined) throw signal.reason;
    await told;
    return rested;
  } catch (error) {
    result.catch(() => undefined);
    if (json) throw error;
    if (signal.aborted) {
      note(await whatBecame(options));
      throw error;
    }
    await told?.catch(() => undefined);
    if (isOfWaiting(error)) throw withHints(error, [await whatBecame(options)]);
    if (!hasFailed(error)) throw error;
    throw withHints(error, [`Try it again from there: \`${next("resume")}\`.`]);
  }
}

/** Prints what a run has come to, and sets the exit code. */
export async function showResult(
  result: RunResult<unknown>,
  { executed, answered = false, json, next }: OutcomeOptions,
): Promise<void> {
  const { thread, status, output } = result;
  if (status === "waiting") process.exitCode = EXIT.waiting;
  if (json) printJson({ result });
  else if (status === "completed") print(toText(output));
  else {
    const state = await executed.graph.getState(thread);
    for (const line of openWaits(state, next, answered)) print(line);
  }
}

/**
 * What a run waits for, each with the command that tells it.
 * @param answered whether to say why the last answer was not taken
 */
export function openWaits(
  { interrupts, waits, paused = [] }: Pick<StateSnapshot, "interrupts" | "waits" | "paused">,
  next: NextCommand,
  answered: boolean,
): string[] {
  const questions = interrupts.flatMap(({ id, node, value, problem }) => {
    const which = interrupts.length > 1 ? ["--interrupt", id] : [];
    return [
      `${paint("bold", oneLine(node))} asks: ${oneLine(toText(value))}`,
      ...(problem === undefined || !answered ? [] : [`  not taken: ${oneLine(problem)}`]),
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

/** Whether the waiting for a run has failed, and not the run. */
function isOfWaiting(error: unknown): boolean {
  return isMeshError(error) && !isOfRun(error) && OF_WAITING.some((code) => error.code === code);
}
