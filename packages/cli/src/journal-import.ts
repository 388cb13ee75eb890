import type { Command } from "commander";
import { demandFile, linesOf } from "./journal-file.ts";
import { progressNote } from "./journal-progress.ts";
import { meshCommand, nameArgument, withMesh, type MeshOptions } from "./mesh-options.ts";
import { print, printJson } from "./output.ts";

/** `plexus journal import` */
export function journalImportCommand(): Command {
  return meshCommand("import", "put what `plexus journal export` has written into a journal")
    .argument(
      "<journal>",
      "one that is empty, or into which this archive was imported before",
      nameArgument,
    )
    .argument("<file>")
    .addHelpText(
      "after",
      "\nThe file is checked first. Repeated, it goes on where it stopped. With --json: one object. Progress goes to stderr.",
    )
    .action((journal: string, file: string, options: MeshOptions) =>
      withMesh(options, async (mesh, signal) => {
        await demandFile(file);
        const onProgress = progressNote("import", options.json);
        const result = await mesh.journals.import(journal, () => linesOf(file), {
          signal,
          onProgress,
        });
        if (options.json) printJson({ journal, ...result });
        else print(`Journal ${journal}: ${result.imported} of ${result.events} events were new.`);
      }),
    );
}
