import { connect } from "@plexus/mesh";
import { Command } from "commander";
import { Desk, feedSchedule, loadDataset, type Outcome, type RunPlan } from "@plexus/trading";
import { type DemoBroker, demoBroker } from "./demo-broker.ts";
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
import { type DemoView, demoView } from "./demo-view.ts";

/** `plexus demo`: sets `process.exitCode` to 0, 1 (something was lost or died), 4 (no broker) or 130 (interrupted). */
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
    .option("--replicas <role=n>", "processes of a role, repeatable", replicaCount, {})
    .option("--server <url>", "a running NATS server; default: an embedded one")
    .option("--json", "end with one line of JSON; progress goes to stderr", false)
    .action(async (options: DemoOptions) => {
      process.exitCode = await runDemo(options);
    });
}

/** Runs the demo and returns the exit code. */
export async function runDemo(options: DemoOptions): Promise<number> {
  const plan = runPlan(options, feedSchedule(loadDataset(), { symbols: 0, seed: 0 }).length);
  const view = demoView(options.json ? process.stderr : process.stdout, plan);
  const interrupt = interruptible(view);
  try {
    await using broker = await demoBroker(options.server);
    const outcome = await conduct(plan, broker, view, interrupt.signal);
    view.close();
    const text = reportText(outcome, broker.version);
    if (options.json) {
      process.stderr.write(text);
      process.stdout.write(`${JSON.stringify(reportJson(outcome, broker.version))}\n`);
    } else process.stdout.write(text);
    if (interrupt.signal.aborted) return 130;
    return outcome.lost === 0 && outcome.error === undefined ? 0 : 1;
  } catch (error) {
    view.close();
    if (interrupt.signal.aborted && codeOf(error) === "CANCELED") {
      process.stderr.write("Interrupted before the first bar.\n");
      return 130;
    }
    const message = error instanceof Error ? error.message : String(error);
    process.stderr.write(`plexus demo: ${codeOf(error)}: ${message}\n`);
    if (options.json) {
      process.stdout.write(`${JSON.stringify({ error: { code: codeOf(error), message } })}\n`);
    }
    return codeOf(error) === "NOT_CONNECTED" ? 4 : 1;
  } finally {
    interrupt.end();
  }
}

/** One run on this broker, shown on the view. */
async function conduct(
  plan: RunPlan,
  broker: DemoBroker,
  view: DemoView,
  stop: AbortSignal,
): Promise<Outcome> {
  await using mesh = await connect({ servers: broker.url, mesh: broker.mesh, name: "desk" });
  await using desk = await Desk.open(mesh, plan);
  const count = desk.seatNames.length;
  view.say(
    `Plexus trading demo: ${count} agent processes, nats-server ${broker.version} at ${broker.url}, mesh ${broker.mesh}`,
  );
  await using processes = startProcesses(plan.replicas, {
    PLEXUS_SERVERS: broker.url,
    PLEXUS_MESH: broker.mesh,
  });
  const drawing = setInterval(() => view.show(desk.progress()), view.everyMs);
  try {
    return await desk.run(stop, processes.died);
  } finally {
    clearInterval(drawing);
  }
}

/** The first Ctrl-C ends the run in order, the second one at once. */
function interruptible(view: DemoView): { readonly signal: AbortSignal; end(): void } {
  const controller = new AbortController();
  const interrupt = (): void => {
    if (controller.signal.aborted) process.exit(130);
    view.say(
      "Stopping: what was published is still processed. Press Ctrl-C again to leave at once.",
    );
    controller.abort(new Error("interrupted"));
  };
  process.on("SIGINT", interrupt).on("SIGTERM", interrupt);
  return {
    signal: controller.signal,
    end: () => void process.off("SIGINT", interrupt).off("SIGTERM", interrupt),
  };
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "FAILED";
}
