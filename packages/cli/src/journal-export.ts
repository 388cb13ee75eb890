import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { rename } from "node:fs/promises";
import { finished } from "node:stream/promises";
import type { Writable } from "node:stream";
import type { Command } from "commander";
import { progressNote } from "./journal-progress.ts";
import { meshCommand, withMesh, type MeshOptions } from "./mesh-options.ts";
import { note } from "./output.ts";

interface ExportOptions extends MeshOptions {
  readonly out?: string;
}

/** `plexus journal export` */
export function journalExportCommand(): Command {
  return meshCommand("export", "write all events of a journal as NDJSON")
    .argument("<journal>")
    .option("-o, --out <file>", "write there, at the end in one step; default: standard output")
    .addHelpText(
      "after",
      "\nOne line per event, as it was recorded; the last line has first and last sequence, counts and a hash chain. Progress goes to stderr.",
    )
    .action((journal: string, options: ExportOptions) =>
      withMesh(options, async (mesh, signal) => {
        const onProgress = progressNote("export", options.json);
        const lines = mesh.journals.export(journal, { signal, onProgress });
        if (options.out === undefined) return writeLines(lines, process.stdout);
        const partial = `${options.out}.part`;
        const file = createWriteStream(partial);
        await writeLines(lines, file);
        file.end();
        await finished(file);
        await rename(partial, options.out);
        if (!options.json) note(`Journal ${journal} is in ${options.out}.`);
      }),
    );
}

async function writeLines(lines: AsyncIterable<string>, out: Writable): Promise<void> {
  for await (const line of lines) {
    if (!out.write(`${line}\n`)) await once(out, "drain");
  }
}
