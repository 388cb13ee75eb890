import { isMeshError } from "@plexus/core";
import { Command as GraphCommand, type RemoteGraph } from "@plexus/workflow";
import type { Command } from "commander";
import { UsageError } from "./exit-codes.ts";
import { meshCommand, withMesh, type MeshOptions } from "./mesh-options.ts";
import { note } from "./output.ts";
import { answerOf, settle } from "./workflow-ask.ts";
import { follow, openWaits, showResult } from "./workflow-outcome.ts";
import { SHOWN } from "./workflow-progress.ts";
import { graphArgument, nextCommands, openExecuted, type NextCommand } from "./workflow-target.ts";

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
    const { graph, isHere } = executed;
    const waits = { detach: signal, ...(timeout !== undefined && { timeout }) };
    const next = nextCommands(command, argument, thread);
    const outcome = { graph, isHere, json: json === true, signal, next, out: process.stderr };
    if (told !== undefined) {
      const result = graph.signal(thread, told.name, told.value, waits);
      await showResult(await follow({ result }, outcome), outcome);
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
      const open =
        json || !isMeshError(error, "INVALID_INPUT") ? [] : await questions(graph, thread, next);
      for (const line of open) note(line);
      throw error;
    }
  });
}

/** For an answer that was none to any question. */
async function questions(graph: RemoteGraph, thread: string, next: NextCommand): Promise<string[]> {
  const { interrupts } = await graph.getState(thread);
  return openWaits({ interrupts, waits: [] }, next);
}

function eventOf(text: string): { name: string; value: unknown } {
  const [, name, value] = /^([^=]+)(?:=(.*))?$/s.exec(text) ?? [];
  if (name === undefined) throw new UsageError("Write an event as name=json, or as its name.");
  return { name, value: value === undefined ? null : answerOf(value) };
}
