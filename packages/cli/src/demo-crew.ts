import { mkdir, mkdtemp, readdir, rm, rmdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import {
  type Action,
  agentsOf,
  conduct,
  CrewPlan,
  MAX_AGENTS,
  MIN_AGENTS,
  prepareFolder,
  prepareWorkspace,
  type Workplace,
} from "@plexus/refactor-crew";
import { Command, InvalidArgumentError } from "commander";
import { demoBroker } from "./demo-broker.ts";
import { CrewChaos } from "./demo-crew-chaos.ts";
import { crewJson, crewReport, isKept } from "./demo-crew-report.ts";
import { CrewView } from "./demo-crew-view.ts";
import { namedModel } from "./demo-model.ts";
import { positiveNumber, wholeNumber } from "./demo-options.ts";
import { startProcesses } from "./demo-processes.ts";
import { EXIT, type ExitCode, UsageError } from "./exit-codes.ts";
import { interruptible } from "./interrupt.ts";
import { joinMesh } from "./mesh-options.ts";
import { printJson } from "./output.ts";

interface CrewOptions {
  readonly agents: number;
  readonly seed: number;
  readonly seconds: number;
  readonly jobs?: number;
  readonly uncoordinated?: true;
  readonly chaos?: true;
  readonly out?: string;
  readonly server?: string;
  readonly json?: true;
}

const MAX_SECONDS = 600;

/** `plexus demo crew`. Exit code 1 when an edit is lost, or tests fail, although the agents work in a workspace. */
export function crewCommand(): Command {
  return new Command("crew")
    .description("coding agents refactor one project at once: nothing is lost, its tests pass")
    .option("--uncoordinated", "the same agents on a plain folder: see what gets lost")
    .option("--agents <n>", `agents, ${MIN_AGENTS} to ${MAX_AGENTS}`, agentCount, MIN_AGENTS)
    .option("--seed <n>", "seed of the project and of who does what when", wholeNumber, 1)
    .option("--seconds <s>", "about how long they are at work", secondCount, 15)
    .option("--jobs <n>", "changes that each makes at most; default: all there is to do", jobCount)
    .option(
      "--chaos",
      "kill an agent every other second, and once the broker; nothing is lost all the same",
    )
    .option("--out <folder>", "where the project goes, with its history; must be empty or new")
    .option("--server <url>", "a running NATS server; default: an embedded one")
    .option("--json", "the timeline as lines of JSON, the outcome as the last one")
    .action(async (options: CrewOptions) => {
      process.exitCode = await interruptible((stop) => runCrew(options, stop));
    });
}

async function runCrew(options: CrewOptions, stop: AbortSignal): Promise<ExitCode> {
  const { json = false, uncoordinated = false, agents, seed, seconds, jobs } = options;
  if (uncoordinated && (options.server ?? options.chaos) !== undefined) {
    throw new UsageError("--uncoordinated has no broker: leave out --server and --chaos.");
  }
  await using stack = new AsyncDisposableStack();
  const out = await outFolder(options.out);
  // Nothing is left of a run that did not get as far as putting something there.
  stack.defer(() => rmdir(out).catch(() => undefined));
  const mode = uncoordinated ? "folder" : "workspace";
  const plan = CrewPlan.parse({ agents, seed, seconds, jobs, mode, out });
  const say = (line: string): void =>
    void (json ? process.stderr : process.stdout).write(`${line}\n`);
  const model = await namedModel();
  const { place, env, where, killBroker } = await found(plan, options.server, stack, say);
  const view = new CrewView();
  say(`Plexus crew demo: ${agents} agents refactor one project, ${where}; seed ${seed}`);
  if (model !== undefined) say(`Changes by ${model}, or by rules where it fails.`);
  stop.addEventListener("abort", () =>
    say("Stopping: the agents leave. Press Ctrl-C again to leave at once."),
  );
  const script = fileURLToPath(import.meta.resolve("@plexus/refactor-crew/run"));
  const own = { ...env, ...(await scratchFolder(stack)) };
  const specs = agentsOf(plan).map((name) => ({
    name,
    script,
    args: [name, JSON.stringify(plan)],
    env: own,
  }));
  const processes = stack.use(startProcesses(specs, (text) => new Error(text)));
  const onKill = (whom: string, at: number): void => {
    if (json) printJson({ kind: "killed", whom, at });
    else say(view.killed(whom, at));
  };
  const chaos = options.chaos && stack.use(new CrewChaos({ plan, processes, killBroker, onKill }));
  const onAction = (action: Action): void => {
    if (json) printJson(action);
    else for (const line of view.lines(action)) say(line);
    if (chaos) chaos.note(action);
  };
  const over = new AbortController();
  const signal = AbortSignal.any([stop, over.signal]);
  const running = conduct({ place, plan, onAction, signal });
  const outcome = await Promise.race([running, processes.died]).catch(async (error: unknown) => {
    over.abort(error);
    await running.catch(() => undefined);
    throw error;
  });
  const kills = chaos ? chaos.kills : undefined;
  if (json) printJson(crewJson(outcome, kills));
  else say(crewReport(outcome, kills));
  return isKept(outcome) ? EXIT.ok : EXIT.failed;
}

/** Where the agents of a run meet. */
interface Meeting {
  readonly place: Workplace;
  /** What their processes need to find it. */
  readonly env: Readonly<Record<string, string>>;
  /** In words. */
  readonly where: string;
  readonly killBroker: (() => Promise<void>) | undefined;
}

/** Founds the place where the agents of a run meet: a workspace on a broker, or a folder. */
async function found(
  plan: CrewPlan,
  server: string | undefined,
  stack: AsyncDisposableStack,
  say: (line: string) => void,
): Promise<Meeting> {
  if (plan.mode === "folder") {
    const where = `all in the folder ${plan.out}`;
    return { place: await prepareFolder(plan), env: {}, where, killBroker: undefined };
  }
  const broker = stack.use(await demoBroker(server, say));
  const mesh = stack.use(await joinMesh({ server: broker.url, mesh: broker.mesh }, say));
  return {
    place: await prepareWorkspace(mesh, plan),
    env: { PLEXUS_SERVERS: broker.url, PLEXUS_MESH: broker.mesh },
    killBroker: broker.kill,
    where: `in a workspace on nats-server ${broker.version} at ${broker.address}, mesh ${broker.mesh}`,
  };
}

/** Where agents run tests: what those that are killed leave there goes with the run. Compiled code stays where it is for all. */
async function scratchFolder(stack: AsyncDisposableStack): Promise<Record<string, string>> {
  const folder = await mkdtemp(join(tmpdir(), "plexus-crew-scratch-"));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  const cache = process.env["NODE_COMPILE_CACHE"] ?? join(tmpdir(), "node-compile-cache");
  return { TMPDIR: folder, NODE_COMPILE_CACHE: cache };
}

/** The folder for the project: the one named, if nothing is in it, or a new one among the temporary ones. */
async function outFolder(named: string | undefined): Promise<string> {
  if (named === undefined) return mkdtemp(join(tmpdir(), "plexus-crew-"));
  const folder = resolve(process.env["INIT_CWD"] ?? ".", named);
  const files = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw new UsageError(`--out ${named}: ${error.message}`, { cause: error });
  });
  if (files.length > 0) throw new UsageError(`--out ${named}: there is something in it already.`);
  await mkdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "EEXIST") return;
    throw new UsageError(`--out ${named}: ${error.message}`, { cause: error });
  });
  return folder;
}

function agentCount(text: string): number {
  const value = wholeNumber(text);
  if (value < MIN_AGENTS || value > MAX_AGENTS) {
    throw new InvalidArgumentError(`Must be ${MIN_AGENTS} to ${MAX_AGENTS}.`);
  }
  return value;
}

function jobCount(text: string): number {
  const value = wholeNumber(text);
  if (value < 1) throw new InvalidArgumentError("Must be 1 at least.");
  return value;
}

function secondCount(text: string): number {
  const value = positiveNumber(text);
  if (value > MAX_SECONDS) throw new InvalidArgumentError(`At most ${MAX_SECONDS}.`);
  return value;
}
