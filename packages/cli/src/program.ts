import { readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { EXIT, Interrupted, UsageError, exitCodeOf } from "./exit-codes.ts";
import { reportFailure } from "./failure.ts";
import { helpCommand } from "./help.ts";
import { meshOptions } from "./mesh-options.ts";
import { note } from "./output.ts";

/** Loaded when asked for: starting is most of what a short command costs, and `demo` brings a whole application. */
const COMMANDS: Record<string, () => Promise<Command>> = {
  demo: async () => (await import("./demo.ts")).demoCommand(),
  dev: async () => (await import("./dev.ts")).devCommand(),
  agents: async () => (await import("./agents.ts")).agentsCommand(),
  call: async () => (await import("./call.ts")).callCommand(),
  tail: async () => (await import("./tail.ts")).tailCommand(),
  task: async () => (await import("./task.ts")).taskCommand(),
  balancer: async () => (await import("./balancer.ts")).balancerCommand(),
  shards: async () => (await import("./shards.ts")).shardsCommand(),
  locks: async () => (await import("./locks.ts")).locksCommand(),
  dlq: async () => (await import("./dlq.ts")).dlqCommand(),
  llm: async () => (await import("./llm.ts")).llmCommand(),
  topic: async () => (await import("./topic.ts")).topicCommand(),
  journal: async () => (await import("./journal.ts")).journalCommand(),
  workspace: async () => (await import("./workspace.ts")).workspaceCommand(),
  workflow: async () => (await import("./workflow.ts")).workflowCommand(),
  doctor: async () => (await import("./doctor.ts")).doctorCommand(),
};

/** Runs `plexus ...args` and returns the exit code. */
export async function runCommandLine(args: readonly string[]): Promise<number> {
  // Somebody who has read enough closes the pipe: `plexus tail | head`.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(EXIT.ok);
    note(`plexus: standard output: ${error.message}`); // a full disk, say
    process.exit(EXIT.failed);
  });
  process.stderr.on("error", () => undefined); // nobody reads what goes on any more: what is done goes on
  // As for whoever connects, nothing means none; the command line's parser would take it for a value.
  for (const name of ["PLEXUS_SERVERS", "PLEXUS_MESH"])
    if (!process.env[name]) delete process.env[name];
  let running = "plexus";
  const program = createProgram(await loadCommands(args), (command) => {
    running = commandPath(command);
  });
  try {
    await program.parseAsync(args, { from: "user" });
    return Number(process.exitCode ?? EXIT.ok); // `demo` sets it
  } catch (error) {
    if (error instanceof Interrupted) return EXIT.interrupted;
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return EXIT.ok; // help or version
      if (error.code === "commander.help") return EXIT.usage; // shown because there was no command
      const message = error.message
        .replace(/^error: /, "")
        .replace(/\n\((Did you mean .*\?)\)$/s, ". $1")
        .replace(/(?<![.?])$/, ".");
      const help = `See \`${running} --help\`.`;
      reportFailure(running, new UsageError(`${message} ${help}`), args.includes("--json"));
      return EXIT.usage;
    }
    reportFailure(running, error, args.includes("--json"));
    return exitCodeOf(error);
  }
}

/** Every command whose name occurs; all of them if none does, for the help. */
function loadCommands(args: readonly string[]): Promise<Command[]> {
  const named = Object.keys(COMMANDS).filter((name) => args.includes(name));
  const wanted = named.length > 0 ? named : Object.keys(COMMANDS);
  return Promise.all(wanted.map((name) => COMMANDS[name]!()));
}

function createProgram(
  commands: readonly Command[],
  onCommand: (command: Command) => void,
): Command {
  const program = new Command("plexus")
    .description("An agent mesh on NATS: see it, call it, run it.")
    .version(version())
    .enablePositionalOptions()
    .addHelpText(
      "after",
      `
The options stand before or behind the command. Exit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 no broker or not
permitted, 5 timeout, 6 waiting (workflow), 130 interrupted. NO_COLOR switches colours off.`,
    )
    .hook("preAction", (_program, action) => inheritOptions(program, action));
  for (const command of commands) program.addCommand(command);
  for (const option of meshOptions()) {
    delete option.envVar; // read by the commands that use it
    program.addOption(option);
  }
  for (const command of everyCommand(program)) {
    if (command.commands.length > 0) command.addCommand(helpCommand(command));
  }
  for (const command of everyCommand(program)) {
    command
      .exitOverride((error) => {
        onCommand(command);
        throw error;
      })
      .configureOutput({ outputError: () => undefined }) // reported once, in the form asked for
      .hook("preSubcommand", (_parent, child) => onCommand(child))
      .helpCommand(false);
  }
  return program;
}

/** `plexus --mesh m call …` means `plexus call --mesh m …`. */
function inheritOptions(program: Command, action: Command): void {
  for (const [name, value] of Object.entries(program.opts())) {
    const known = action.options.some((option) => option.attributeName() === name);
    if (known && action.getOptionValueSource(name) !== "cli") {
      action.setOptionValueWithSource(name, value, "cli");
    }
  }
}

function everyCommand(command: Command): Command[] {
  return [command, ...command.commands.flatMap(everyCommand)];
}

function commandPath(command: Command): string {
  const parent = command.parent === null ? "" : `${commandPath(command.parent)} `;
  return `${parent}${command.name()}`;
}

function version(): string {
  const manifest = readFileSync(new URL("../package.json", import.meta.url), "utf8");
  return (JSON.parse(manifest) as { version: string }).version;
}
