import type { DeadLetterReport } from "@plexus/mesh";
import type { Command } from "commander";
import { meshCommand, withMesh, type MeshOptions } from "./mesh-options.ts";
import { harmless, oneLine, paint, print, printJson, table, toText } from "./output.ts";

/** `plexus dlq show` */
export function dlqShowCommand(): Command {
  return meshCommand("show", "show a dead letter with its history and its input")
    .argument("<task>", "its id")
    .addHelpText("after", "\nWith --json: one object; data is the queued message in base64.")
    .action((id: string, options: MeshOptions) =>
      withMesh(options, async (mesh) => {
        const letter = await mesh.deadLetters.get(id);
        if (options.json) printJson(letter);
        else show(letter);
      }),
    );
}

function show(letter: DeadLetterReport): void {
  const { agent, capability, priority, tenant, submittedAt, client } = letter;
  print(
    `${paint("bold", letter.id)}  ${agent}.${capability}  priority ${priority}, tenant ${tenant}`,
  );
  print(`${paint("red", letter.reason)}: ${harmless(letter.message)}`);
  if (submittedAt !== undefined) {
    print(`submitted ${new Date(submittedAt).toISOString()} by ${client ?? "somebody"}`);
  }
  print("");
  for (const line of historyTable(letter)) print(line);
  print("");
  if (letter.readable) print(`input ${toText(letter.input)}`);
  else print(`The input cannot be read: ${letter.data.length} bytes.`);
}

/** The attempts that a dead letter remembers. */
export function historyTable({ history }: DeadLetterReport): string[] {
  const rows = history.map(({ attempt, at, instance, code, message }) => [
    String(attempt),
    new Date(at).toISOString(),
    instance,
    paint("red", code),
    oneLine(message),
  ]);
  return table(["ATTEMPT", "ENDED", "INSTANCE", "ERROR", "MESSAGE"], rows);
}
