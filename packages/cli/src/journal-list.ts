import type { JournalInfo } from "@plexus/mesh";
import type { Command } from "commander";
import { meshCommand, withMesh, type MeshOptions } from "./mesh-options.ts";
import { paint, print, printJson, table } from "./output.ts";
import { ago } from "./topic-list.ts";

const HEADER = ["JOURNAL", "RECORDS", "KEYS", "SEQUENCES", "BYTES", "NEWEST"];

/** `plexus journal ls` */
export function journalListCommand(): Command {
  return meshCommand("ls", "list the journals")
    .addHelpText(
      "after",
      "\nA record is one append, of one event or several. With --json: one array.",
    )
    .action((options: MeshOptions) =>
      withMesh(options, async (mesh) => {
        const journals = await mesh.journals.list();
        if (options.json) printJson(journals);
        else if (journals.length === 0) print(`No journals in mesh ${mesh.mesh}.`);
        else for (const line of table(HEADER, journals.map(row))) print(line);
      }),
    );
}

function row(info: JournalInfo): string[] {
  return [
    paint("bold", info.journal),
    String(info.records),
    String(info.keys),
    info.lastSequence === 0 ? "-" : `${info.firstSequence}-${info.lastSequence}`,
    String(info.bytes),
    ago(info.lastAt),
  ];
}
