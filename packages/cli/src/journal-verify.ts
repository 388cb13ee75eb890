import { checkArchive, type ArchiveSummary } from "@plexus/mesh";
import type { Command } from "commander";
import { UsageError } from "./exit-codes.ts";
import { demandFile, linesOf } from "./journal-file.ts";
import { progressNote } from "./journal-progress.ts";
import { meshCommand, nameArgument, withMesh, type MeshOptions } from "./mesh-options.ts";
import { print, printJson } from "./output.ts";

interface VerifyOptions extends MeshOptions {
  readonly file?: string;
}

/** `plexus journal verify` */
export function journalVerifyCommand(): Command {
  return meshCommand("verify", "check a journal, or a file that was exported")
    .argument("[journal]", "its name", nameArgument)
    .option("-f, --file <file>", "check this file instead; needs no broker")
    .addHelpText(
      "after",
      "\nChecks order, completeness of appends, ids, causes before effects, readability and, of a file, its hash chain. Needs no contract. With --json: one object.",
    )
    .action(async (journal: string | undefined, options: VerifyOptions) => {
      if ((journal === undefined) === (options.file === undefined)) {
        throw new UsageError("Name a journal or, with --file, a file.");
      }
      const onProgress = progressNote("verify", options.json);
      if (options.file !== undefined) {
        await demandFile(options.file);
        const tell = (events: number): void => onProgress({ events, done: 0, of: 1 });
        return report(await checkArchive(linesOf(options.file), tell), options);
      }
      await withMesh(options, async (mesh, signal) =>
        report(await mesh.journals.verify(journal!, { signal, onProgress }), options),
      );
    });
}

function report(summary: ArchiveSummary, { json }: VerifyOptions): void {
  if (json) return printJson(summary);
  const { journal, events, records, first, last, chain } = summary;
  print(
    `Journal ${journal} is sound: ${events} events in ${records} appends, sequences ${first}-${last}.`,
  );
  print(`Hash chain ${chain || "-"}`);
}
