import { isMeshError } from "@plexus/core";
import type { DeadLetterReport, Mesh, TaskStatus } from "@plexus/mesh";
import type { Command } from "commander";
import { historyTable } from "./dlq-show.ts";
import { meshCommand, withMesh, type MeshOptions } from "./mesh-options.ts";
import { harmless, paint, print, printJson, toText } from "./output.ts";
import { paintState, remark, timing } from "./task-list.ts";

const RESULT_TIMEOUT = "10s"; // it is there already

/** `plexus task show` */
export function taskShowCommand(): Command {
  return meshCommand("show", "show where a task stands, and its result or why it has none")
    .argument("<task>", "its id")
    .addHelpText("after", "\nWith --json: one object, with result or deadLetter if there is one.")
    .action((id: string, options: MeshOptions) =>
      withMesh(options, async (mesh) => {
        const task = mesh.task(id);
        const status = await task.status();
        const completed = status.state === "completed";
        const result = completed ? await task.result({ timeout: RESULT_TIMEOUT }) : undefined;
        const deadLetter = status.error === undefined ? undefined : await letterOf(mesh, id);
        if (options.json) printJson({ ...status, ...(completed ? { result } : {}), deadLetter });
        else show(status, result, deadLetter);
      }),
    );
}

async function letterOf(mesh: Mesh, id: string): Promise<DeadLetterReport | undefined> {
  try {
    return await mesh.deadLetters.get(id);
  } catch (error) {
    if (isMeshError(error, "NO_TASK")) return undefined; // canceled, or discarded meanwhile
    throw error;
  }
}

function show(status: TaskStatus, result: unknown, letter: DeadLetterReport | undefined): void {
  const { id, agent, capability, state, attempt, instance, client } = status;
  print(`${paint("bold", id)}  ${agent}.${capability}  ${paintState(state)}  ${timing(status)}`);
  print(
    `attempt ${attempt}${instance === undefined ? "" : ` by ${instance}`}, submitted by ${client}`,
  );
  const text = remark(status);
  if (text !== "") print(harmless(text));
  if (letter) {
    print("");
    for (const line of historyTable(letter)) print(line);
    print("");
    if (letter.readable) print(`input ${toText(letter.input)}`);
    print(paint("dim", `It is a dead letter: \`plexus dlq retry ${id}\`, or discard.`));
  } else if (state === "completed") print(`result ${toText(result)}`);
}
