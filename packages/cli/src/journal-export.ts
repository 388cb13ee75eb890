import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import type { Command } from "commander";
import { UsageError } from "./exit-codes.ts";
import { progressNote } from "./journal-progress.ts";
import { meshCommand, nameArgument, withMesh, type MeshOptions } from "./mesh-options.ts";
import { note } from "./output.ts";

interface ExportOptions extends MeshOptions {
  readonly out?: string;
}

/** `plexus journal export` */
export function journalExportCommand(): Command {
  return meshCommand("export", "write all events of a journal as NDJSON")
    .argument("<journal>", "its name", nameArgument)
    .option("-o, --out <file>", "write there, at the end in one step; default: standard output")
    .addHelpText(
      "after",
      "\nOne line per event, as it was recorded; the last line has first and last sequence, counts and a hash chain. Progress goes to stderr.",
    )
    .action((journal: string, options: ExportOptions) =>
      withMesh(options, async (mesh, signal) => {
        const onProgress = progressNote("export", options.json);
        const lines = mesh.journals.export(journal, { signal, onProgress });
        if (options.out === undefined) return print(lines);
        await save(lines, options.out);
        if (!options.json) note(`Journal ${journal} is in ${options.out}.`);
      }),
    );
}

async function print(lines: AsyncIterable<string>): Promise<void> {
  for await (const line of lines) {
    if (!process.stdout.write(`${line}\n`)) await once(process.stdout, "drain");
  }
}

/** Puts all lines into a file, or leaves what was there. @throws UsageError if that cannot be written */
async function save(lines: AsyncIterable<string>, path: string): Promise<void> {
  const partial = `${path}.part`;
  try {
    await pipeline(withEnds(lines), createWriteStream(partial));
    await rename(partial, path);
  } catch (error) {
    const { syscall, message } = error as NodeJS.ErrnoException;
    // What cannot be opened is not ours to remove: it may be a folder.
    if (syscall !== "open") await rm(partial, { force: true });
    if (syscall !== "open" && syscall !== "rename") throw error;
    throw new UsageError(`--out ${path}: ${message}`, { cause: error });
  }
}

async function* withEnds(lines: AsyncIterable<string>): AsyncGenerator<string, void, undefined> {
  for await (const line of lines) yield `${line}\n`;
}
