import { parseArgs } from "node:util";
import { entities } from "./entities.ts";
import { events } from "./events.ts";
import { journal } from "./journal.ts";
import { llm } from "./llm.ts";
import { fairness } from "./fairness.ts";
import { pipeline } from "./pipeline.ts";
import { placement } from "./placement.ts";
import { registry } from "./registry.ts";
import { asJson, asTable, reportOf } from "./report.ts";
import { type Bench, runRounds } from "./rounds.ts";
import { rpc } from "./rpc.ts";
import { runs } from "./runs.ts";
import { scale } from "./scale.ts";
import { tasks } from "./tasks.ts";
import { workflow } from "./workflow.ts";
import { workspace } from "./workspace.ts";

const benches: Record<string, Bench> = {
  rpc,
  events,
  pipeline,
  placement,
  scale,
  registry,
  tasks,
  llm,
  fairness,
  entities,
  journal,
  workspace,
  workflow,
  runs,
};

const usage = `Usage: npm run bench -- ${Object.keys(benches).join("|")} [--json] [--quick]

  --json    end with one line of JSON instead of a table
  --quick   fewer and shorter rounds: at most 40 s, noisier

Exits 1 when a bar is missed. PLEXUS_NATS_SERVER names the broker to measure on.`;

/** Undefined when the command line makes no sense. */
function readArguments():
  | { name: string; bench: Bench; json: boolean; quick: boolean }
  | "help"
  | undefined {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        json: { type: "boolean", default: false },
        quick: { type: "boolean", default: false },
        help: { type: "boolean", default: false },
      },
    });
    if (values.help) return "help";
    const [name = "", ...rest] = positionals;
    const bench = Object.hasOwn(benches, name) ? benches[name] : undefined;
    return bench === undefined || rest.length > 0 ? undefined : { name, bench, ...values };
  } catch {
    return undefined;
  }
}

const chosen = readArguments();
if (chosen === "help") console.log(usage);
else if (chosen === undefined) {
  console.error(usage);
  process.exitCode = 2;
} else {
  const { name, bench, json, quick } = chosen;
  const log = (line: string): void => console.error(`bench ${name}: ${line}`);
  const report = reportOf(name, await runRounds(bench, { quick, log }));
  console.log(json ? asJson(report) : asTable(report, bench.legend));
  process.exitCode = report.ratios.every(({ ok }) => ok) ? 0 : 1;
}
