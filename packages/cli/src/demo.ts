import {
  barsBefore,
  Desk,
  feedSchedule,
  loadDataset,
  type Outcome,
  type Progress,
  Role,
  simulate,
} from "@plexus/trading";
import { Command } from "commander";
import { demoBroker } from "./demo-broker.ts";
import { crewCommand } from "./demo-crew.ts";
import { Chaos } from "./demo-chaos.ts";
import {
  type DemoOptions,
  positiveNumber,
  replicaCount,
  runPlan,
  signalRate,
  symbolCount,
  wholeNumber,
} from "./demo-options.ts";
import { startSeats } from "./demo-processes.ts";
import { reportJson, reportText, type Trials } from "./demo-report.ts";
import { LlmFaults } from "./demo-llm-faults.ts";
import { namedModel } from "./demo-model.ts";
import { demoView } from "./demo-view.ts";
import { EXIT, type ExitCode } from "./exit-codes.ts";
import { interruptible } from "./interrupt.ts";
import { joinMesh } from "./mesh-options.ts";
import { printJson } from "./output.ts";

/** `plexus demo`. Exit code 1 when anything was lost, the ledger is not what it must be, or a process cannot be kept running. */
export function demoCommand(): Command {
  return new Command("demo")
    .enablePositionalOptions()
    .addCommand(crewCommand())
    .description("run the trading mesh: a dozen agent processes on real market data")
    .option("--rate <signals/s>", "offered load, open loop, up to 200000; default 500", signalRate)
    .option("--seconds <s>", "how long to publish; default: all real bars, or 20", positiveNumber)
    .option(
      "--symbols <n>",
      "synthetic symbols, up to 10000; 0: the real ones. Default 100 with --rate",
      symbolCount,
    )
    .option("--seed <n>", "seed of the synthetic symbols", wholeNumber, 1)
    .option(
      "--replicas <role=n>",
      "processes of a role, repeatable; default 1 of each",
      replicaCount,
    )
    .option("--server <url>", "a running NATS server; default: an embedded one")
    .option(
      "--chaos",
      "kill a random process every second, and once the broker; end with the same ledger",
    )
    .option(
      "--llm-faults",
      "ask a stub model that fails 30 % of the time and is out in the middle of the run",
    )
    .option("--json", "end with one line of JSON; progress goes to stderr")
    .addHelpText("after", `\nRoles: ${Role.options.join(", ")}.`)
    .action(async (options: DemoOptions) => {
      process.exitCode = await interruptible((stop) => runDemo(options, stop));
    });
}

/** One run, shown while it goes on and reported at its end; `stop` ends it early but in order. */
async function runDemo(options: DemoOptions, stop: AbortSignal): Promise<ExitCode> {
  const plan = runPlan(options, feedSchedule(loadDataset(), { symbols: 0, seed: 0 }).length);
  const out = options.json ? process.stderr : process.stdout;
  const view = demoView(out, plan);
  const say = (line: string): void => view.say(line);
  const model = options.llmFaults ? undefined : await namedModel();
  await using broker = await demoBroker(options.server, say);
  await using mesh = await joinMesh({ server: broker.url, mesh: broker.mesh }, say);
  await using desk = await Desk.open(mesh, plan);
  await using faults = options.llmFaults ? await LlmFaults.start(plan.seed) : undefined;
  say(
    `Plexus trading demo: ${desk.seatNames.length} agent processes, nats-server ${broker.version} at ${broker.address}, mesh ${broker.mesh}`,
  );
  if (model !== undefined) say(`Headlines and commentary by ${model}.`);
  if (faults) say(`The model is a stub at ${faults.address}, which fails 30 % of the time.`);
  stop.addEventListener("abort", () =>
    say("Stopping: what was published is still processed. Press Ctrl-C again to leave at once."),
  );
  await using processes = startSeats(plan.replicas, {
    PLEXUS_SERVERS: broker.url,
    PLEXUS_MESH: broker.mesh,
    ...faults?.env,
  });
  const progress = (): Progress => desk.progress();
  faults?.follow({ plan, progress, say });
  using chaos = options.chaos && new Chaos({ plan, processes, broker, progress, say });
  const drawing = setInterval(() => {
    const now = progress();
    view.show(now);
    for (const { seat, pid } of now.silent) {
      if (processes.kill(seat, pid)) say(`${seat} (pid ${pid}) hangs: killed, another one begins`);
    }
  }, view.everyMs);
  const outcome = await desk.run(stop, processes.died).finally(() => {
    clearInterval(drawing);
    view.close();
  });
  const trials: Trials = {
    ...(chaos && {
      chaos: {
        kills: chaos.kills,
        brokerRestarts: chaos.brokerRestarts,
      },
    }),
    ...(faults && { llm: faults.trial(outcome) }),
    ...((chaos ?? faults) && { ledgerMatches: matchesCalmRun(outcome) }),
  };
  out.write(reportText(outcome, broker.version, trials));
  if (options.json) printJson(reportJson(outcome, broker.version, trials));
  const sound = outcome.lost === 0 && outcome.error === undefined && trials.ledgerMatches !== false;
  return sound ? EXIT.ok : EXIT.failed;
}

/** Whether the run has ended with the ledger that one process computes, undisturbed, from the same bars and what the model said. */
function matchesCalmRun({ plan, bars, closing, moods }: Outcome): boolean {
  const { symbols, seed } = plan;
  const dataset = loadDataset();
  const calm = simulate({
    dataset,
    symbols,
    seed,
    bars: barsBefore(feedSchedule(dataset, plan), bars),
    // What a word list makes of headlines is not taken on trust.
    ...(moods.some(({ event }) => event.mode === "model") && {
      moods: moods.map(({ event }) => event),
    }),
  });
  return calm.closing.ledgerHash === closing.ledgerHash;
}
