import { MeshError, createUlid, isMeshError } from "@plexus/core";
import type { BusyPolicy, DurabilityMode, StateSnapshot } from "@plexus/workflow";
import { Option, type Command } from "commander";
import { UsageError } from "./exit-codes.ts";
import { withHints } from "./failure.ts";
import { meshCommand, withMesh, type MeshOptions } from "./mesh-options.ts";
import { note, printJson } from "./output.ts";
import { readInput } from "./read-input.ts";
import { settle } from "./workflow-ask.ts";
import { openExecuted } from "./workflow-executed.ts";
import { aboutGraph } from "./workflow-known.ts";
import { openWaits, type OutcomeOptions } from "./workflow-outcome.ts";
import { SHOWN } from "./workflow-progress.ts";
import { graphArgument, nextCommands } from "./workflow-target.ts";

interface RunOptions extends MeshOptions {
  readonly input?: string;
  readonly thread?: string;
  readonly busy?: BusyPolicy;
  readonly durability?: DurabilityMode;
  readonly id?: string;
  readonly interruptBefore?: string[];
  readonly interruptAfter?: string[];
}

const newId = createUlid(Date.now, Math.random);

/** `plexus workflow run` */
export function workflowRunCommand(): Command {
  return meshCommand("run", "run a graph, and show what happens until it rests")
    .argument(
      "<graph>",
      "its name, or its file: hosted here, for as long as this takes, if nobody else does",
    )
    .argument("[input]", "JSON, or - for JSON on standard input (default: {})")
    .option("--input <file>", "file with the input as JSON")
    .option("--thread <thread>", "the conversation that it belongs to (default: a new one)")
    .addOption(
      new Option(
        "--busy <policy>",
        "if a run is under way on the thread (default: reject)",
      ).choices(["reject", "enqueue", "interrupt", "rollback"]),
    )
    .addOption(
      new Option("--durability <mode>", "when what happens is stored (default: async)").choices([
        "sync",
        "async",
        "exit",
      ]),
    )
    .option("--interrupt-before <node>", "pause before it; repeatable, * is all nodes", several)
    .option("--interrupt-after <node>", "pause behind it; repeatable, * is all nodes", several)
    .option("--id <id>", "of the run: given once more, nothing is run once more")
    .addHelpText(
      "after",
      `
What happens meanwhile goes to standard error, the output to standard output. --timeout and Ctrl-C end the waiting, and not the run.
Exits 0 when it has completed, 6 when it waits for an answer or an event, or is paused, else with the code of its error; at a terminal, you are asked.
With --json: a line {"thread"}, what the run tells, a line each, and {"result"} or {"error"}.`,
    )
    .action((argument: string, text: string | undefined, options: RunOptions, command: Command) =>
      run(argument, text, options, command),
    );
}

async function run(
  argument: string,
  text: string | undefined,
  options: RunOptions,
  command: Command,
): Promise<void> {
  const input = await inputOf(text, options.input);
  const target = await graphArgument(argument);
  await withMesh(options, async (mesh, signal) => {
    await using executed = await openExecuted(mesh, target);
    const { graph } = executed;
    const { thread = newId(), busy, durability, id = newId(), timeout, json } = options;
    const { interruptBefore, interruptAfter } = options;
    if (json) printJson({ thread });
    else note(`thread ${thread}`); // for whoever does not wait to the end
    const progress = graph.stream(input, {
      thread,
      mode: SHOWN,
      detach: signal,
      ...(busy && { busy }),
      ...(durability && { durability }),
      ...(interruptBefore && { interruptBefore }),
      ...(interruptAfter && { interruptAfter }),
      id,
      ...(timeout !== undefined && { timeout }),
    });
    const next = nextCommands(command, argument, thread);
    const running = { progress, result: progress.result };
    const outcome = {
      mesh,
      executed,
      thread,
      begun: { run: id, ...(busy && { busy }), ...(durability && { durability }) },
      json: json === true,
      signal,
      next,
      out: process.stderr,
    };
    try {
      await aboutGraph(mesh, graph.name, () => settle(running, outcome));
    } catch (error) {
      throw isMeshError(error, "CONFLICT") ? await whyBusy(error, outcome) : error;
    }
  });
}

/** Says what the run that is under way on the thread waits for, and how to answer or end it. */
async function whyBusy(
  refusal: MeshError,
  { executed, thread, begun, next, json }: OutcomeOptions,
): Promise<unknown> {
  const state = await executed.graph.getState(thread).catch(() => undefined);
  if (state === undefined || state.run === begun?.run) return refusal;
  const what = state.status === "waiting" ? whatFor(state) : undefined;
  const conflict =
    what === undefined
      ? refusal
      : new MeshError("CONFLICT", `The run on thread ${thread} waits ${what}.`);
  const policies = what === undefined ? "enqueue, interrupt or rollback" : "interrupt or rollback";
  const hints = [
    ...(what === undefined ? [`Watch it: \`${next("watch")}\`.`] : openWaits(state, next, false)),
    `End it: \`${next("cancel")}\`, or run this one with --busy ${policies}.`,
  ];
  return json ? conflict : withHints(conflict, hints);
}

function whatFor({ interrupts, waits, paused = [] }: StateSnapshot): string | undefined {
  const [question] = interrupts;
  if (question !== undefined) return `for an answer to node ${question.node}`;
  if (paused.length > 0) return `at a breakpoint, before node ${paused.join(", ")}`;
  const [wait] = waits;
  if (wait?.event !== undefined) return `for event ${wait.event}`;
  return wait?.until === undefined ? undefined : `until ${new Date(wait.until).toISOString()}`;
}

function several(text: string, before: readonly string[] = []): string[] {
  return [...before, text];
}

async function inputOf(text: string | undefined, file: string | undefined): Promise<object> {
  if (text !== undefined && file !== undefined) {
    throw new UsageError("The input stands on the command line and in --input: use one of them.");
  }
  const input = (await readInput(file === undefined ? text : `@${file}`)) ?? {};
  if (typeof input === "object" && !Array.isArray(input)) return input;
  throw new UsageError('The input of a graph is an object, such as \'{"text":"hello"}\'.');
}
