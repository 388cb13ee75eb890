import { Desk, feedSchedule, loadDataset, Role } from "@plexus/trading";
import { Command } from "commander";
import { demoBroker } from "./demo-broker.ts";
import {
  type DemoOptions,
  positiveNumber,
  replicaCount,
  runPlan,
  symbolCount,
  wholeNumber,
} from "./demo-options.ts";
import { startProcesses } from "./demo-processes.ts";
import { reportJson, reportText } from "./demo-report.ts";
import { demoView } from "./demo-view.ts";
import { EXIT, type ExitCode } from "./exit-codes.ts";
import { interruptible } from "./interrupt.ts";
import { joinMesh } from "./mesh-options.ts";
import { printJson } from "./output.ts";

/** `plexus demo`. Exit code 1 when anything was lost or a process died. */
export function demoCommand(): Command {
  return new Command("demo")
    .description("run the trading mesh: a dozen agent processes on real market data")
    .option("--rate <signals/s>", "offered load, open loop; default 500", positiveNumber)
    .option("--seconds <s>", "how long to publish; default: all real bars, or 20", positiveNumber)
    .option(
      "--symbols <n>",
      "synthetic symbols; 0: the real ones. Default 100 with --rate",
      symbolCount,
    )
    .option("--seed <n>", "seed of the synthetic symbols", wholeNumber, 1)
    .option(
      "--replicas <role=n>",
      "processes of a role, repeatable; default 1 of each",
      replicaCount,
    )
    .option("--server <url>", "a running NATS server; default: an embedded one")
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
  await using broker = await demoBroker(options.server);
  await using mesh = await joinMesh({ server: broker.url, mesh: broker.mesh });
  await using desk = await Desk.open(mesh, plan);
  view.say(
    `Plexus trading demo: ${desk.seatNames.length} agent processes, nats-server ${broker.version} at ${broker.address}, mesh ${broker.mesh}`,
  );
  stop.addEventListener("abort", () =>
    view.say(
      "Stopping: what was published is still processed. Press Ctrl-C again to leave at once.",
    ),
  );
  await using processes = startProcesses(plan.replicas, {
    PLEXUS_SERVERS: broker.url,
    PLEXUS_MESH: broker.mesh,
  });
  const drawing = setInterval(() => view.show(desk.progress()), view.everyMs);
  const outcome = await desk.run(stop, Promise.race([processes.died, broker.died])).finally(() => {
    clearInterval(drawing);
    view.close();
  });
  out.write(reportText(outcome, broker.version));
  if (options.json) printJson(reportJson(outcome, broker.version));
  return outcome.lost === 0 && outcome.error === undefined ? EXIT.ok : EXIT.failed;
}
