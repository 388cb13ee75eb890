import type { DeadLetter } from "@plexus/mesh";
import type { Command } from "commander";
import {
  countArgument,
  meshCommand,
  nameArgument,
  withMesh,
  type MeshOptions,
} from "./mesh-options.ts";
import { oneLine, paint, print, printJson, shorten, table } from "./output.ts";
import { ago } from "./topic-list.ts";

/** The options that choose dead letters. */
export interface LetterOptions extends MeshOptions {
  readonly agent?: string;
  readonly capability?: string;
}

interface DlqListOptions extends LetterOptions {
  readonly limit?: number;
}

const HEADER = ["TASK", "AGENT", "CAPABILITY", "ATTEMPTS", "WHEN", "REASON", "MESSAGE"];
const MAX_MESSAGE = 80;

/** `plexus dlq ls` */
export function dlqListCommand(): Command {
  return chooseLetters(meshCommand("ls", "list the dead letters, the newest last"))
    .option("-n, --limit <n>", "the newest so many (default: 100)", countArgument)
    .addHelpText("after", "\nWith --json: one array.")
    .action((options: DlqListOptions) =>
      withMesh(options, async (mesh, signal) => {
        const { agent, capability, limit } = options;
        const letters = await mesh.deadLetters.list({
          signal,
          ...(agent === undefined ? {} : { agent }),
          ...(capability === undefined ? {} : { capability }),
          ...(limit === undefined ? {} : { limit }),
        });
        if (options.json) printJson(letters);
        else if (letters.length === 0) print(`No dead letters in mesh ${mesh.mesh}.`);
        else for (const line of table(HEADER, letters.map(row))) print(line);
      }),
    );
}

/** Adds the options of {@link LetterOptions}. */
export function chooseLetters(command: Command): Command {
  return command
    .option("--agent <name>", "only those of this agent", nameArgument)
    .option("--capability <name>", "only those of this capability", nameArgument);
}

function row(letter: DeadLetter): string[] {
  return [
    paint("bold", letter.id),
    letter.agent,
    letter.capability,
    String(letter.attempts),
    ago(letter.at),
    paint("red", letter.reason),
    shorten(oneLine(letter.message), MAX_MESSAGE),
  ];
}
