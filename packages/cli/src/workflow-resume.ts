import { MeshError, isMeshError } from "@plexus/core";
import { Command as GraphCommand } from "@plexus/workflow";
import type { Command } from "commander";
import { UsageError } from "./exit-codes.ts";
import { isOfRun, withHints } from "./failure.ts";
import { meshCommand, withMesh, type MeshOptions } from "./mesh-options.ts";
import { note, oneLine } from "./output.ts";
import { answerOf, settle } from "./workflow-ask.ts";
import { openExecuted } from "./workflow-executed.ts";
import { aboutGraph } from "./workflow-known.ts";
import { follow, openWaits, showResult, type OutcomeOptions } from "./workflow-outcome.ts";
import { SHOWN } from "./workflow-progress.ts";
import { graphArgument, nextCommands } from "./workflow-target.ts";

interface ResumeOptions extends MeshOptions {
  readonly answer?: string;
  readonly interrupt?: string;
  readonly signal?: string;
}

/** `plexus workflow resume` */
export function workflowResumeCommand(): Command {
  return meshCommand(
    "resume",
    "answer what a run asks, tell it of an event, or try again what has failed",
  )
    .argument("<graph>", "its name, or its file")
    .argument("<thread>", "which one")
    .option("--answer <answer>", "JSON, or else text; '\"5\"' is text, 5 a number")
    .option("--interrupt <id>", "which question, if several are open")
    .option("--signal <name=json>", "an event that it waits for, or will")
    .addHelpText(
      "after",
      `
Without --answer and --signal, a run that has failed goes on where it failed. Exits as \`run\` does. With --json: what the run tells, a line
each, and {"result"} or {"error"}.`,
    )
    .action((argument: string, thread: string, options: ResumeOptions, command: Command) =>
      resume(argument, thread, options, command),
    );
}

async function resume(
  argument: string,
  thread: string,
  options: ResumeOptions,
  command: Command,
): Promise<void> {
  const { answer, interrupt, signal: event, timeout, json } = options;
  if (answer !== undefined && event !== undefined) {
    throw new UsageError("--answer and --signal are two things: give one of them at a time.");
  }
  if (interrupt !== undefined && answer === undefined) {
    throw new UsageError("--interrupt says which question --answer answers: it needs one.");
  }
  const told = event === undefined ? undefined : eventOf(event);
  const target = await graphArgument(argument);
  await withMesh(options, async (mesh, signal) => {
    await using executed = await openExecuted(mesh, target);
    const { graph } = executed;
    const waits = { detach: signal, ...(timeout !== undefined && { timeout }) };
    const next = nextCommands(command, argument, thread);
    const outcome = {
      mesh,
      executed,
      thread,
      answered: answer !== undefined,
      json: json === true,
      signal,
      next,
      out: process.stderr,
    };
    await aboutGraph(mesh, graph.name, async () => {
      if (told !== undefined) {
        const before = await graph.getState(thread);
        const result = graph.signal(thread, told.name, told.value, waits);
        await showResult(await follow({ result }, outcome), outcome);
        const isKept = !before.waits.some(({ event: name }) => name === told.name);
        if (isKept && !json) note(kept(told.name));
        return;
      }
      const input =
        answer === undefined
          ? null
          : new GraphCommand({ resume: answerOf(answer), ...(interrupt && { interrupt }) });
      const progress = graph.stream(input, { thread, mode: SHOWN, ...waits });
      try {
        await settle({ progress, result: progress.result }, outcome);
      } catch (error) {
        const isWhich = answer !== undefined && isMeshError(error, "INVALID_INPUT");
        throw isWhich ? await whichQuestion(error, interrupt, outcome) : error;
      }
    });
  });
}

function kept(event: string): string {
  return `Nobody was waiting for event ${oneLine(event)}: it is kept for whoever of this run does next.`;
}

/** For an answer that was none to any question. */
async function whichQuestion(
  error: MeshError,
  interrupt: string | undefined,
  { executed, thread, json, next }: OutcomeOptions,
): Promise<unknown> {
  const { interrupts } = await executed.graph.getState(thread);
  const ids = interrupts.map(({ id }) => id);
  if (isOfRun(error) || ids.length === 0) return error;
  if (interrupt === undefined ? ids.length === 1 : ids.includes(interrupt)) return error;
  const text =
    interrupt === undefined
      ? `The run on thread ${thread} asks ${ids.length} questions: say with --interrupt which one is answered.`
      : `There is no question ${interrupt}; open: ${ids.join(", ")}.`;
  const which = new MeshError("INVALID_INPUT", text, { cause: error });
  return json ? which : withHints(which, openWaits({ interrupts, waits: [] }, next, false));
}

function eventOf(text: string): { name: string; value: unknown } {
  const [, name, value] = /^([^=]+)(?:=(.*))?$/s.exec(text) ?? [];
  if (name === undefined) throw new UsageError("Write an event as name=json, or as its name.");
  return { name, value: value === undefined ? null : answerOf(value) };
}
