import { Command } from "commander";
import { journalExportCommand } from "./journal-export.ts";
import { journalImportCommand } from "./journal-import.ts";
import { journalListCommand } from "./journal-list.ts";
import { journalVerifyCommand } from "./journal-verify.ts";

/** `plexus journal ls|export|import|verify` */
export function journalCommand(): Command {
  return new Command("journal")
    .description("see the journals of a mesh, take them out, put them in, check them")
    .addCommand(journalListCommand())
    .addCommand(journalExportCommand())
    .addCommand(journalImportCommand())
    .addCommand(journalVerifyCommand());
}
