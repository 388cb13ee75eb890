import { Command } from "commander";
import { closest } from "./closest.ts";

/** `plexus help`, and that of every command that has others below it: as `--help` behind the names. */
export function helpCommand(top: Command): Command {
  return new Command("help")
    .description("show help")
    .argument("[command...]", "of which command")
    .action((names: readonly string[]) => {
      let shown = top;
      for (const name of names) {
        const found = shown.commands.find((one) => one.name() === name);
        shown = found ?? unknown(shown, name);
      }
      shown.help();
    });
}

function unknown(parent: Command, name: string): never {
  const near = closest(
    name,
    parent.commands.map((one) => one.name()),
  );
  const hint = near === undefined ? "" : `. Did you mean ${near}?`;
  return parent.error(`error: unknown command '${name}'${hint}`);
}
