import {
  budgetBucket,
  listBudgets,
  readBudget,
  releaseBudget,
  setBudget,
  type Amount,
  type BudgetReport,
} from "@plexus/llm";
import { MeshError } from "@plexus/core";
import { Command, InvalidArgumentError } from "commander";
import { UsageError } from "./exit-codes.ts";
import { meshCommand, withMesh, type MeshOptions } from "./mesh-options.ts";
import { paint, print, printJson, table } from "./output.ts";

const HEADER = ["BUDGET", "SPENT", "SET ASIDE", "LIMIT", "USED", "PROCESSES"];
const NAMES = "mesh, agent:NAME, tenant:NAME or run:NAME";

/** `plexus llm budget ls|set|release` */
export function llmBudgetCommand(): Command {
  return new Command("budget")
    .description("see and set what may be spent on models")
    .addCommand(listCommand())
    .addCommand(setCommand())
    .addCommand(releaseCommand());
}

function listCommand(): Command {
  return meshCommand("ls", "list the budgets")
    .addHelpText(
      "after",
      "\nSET ASIDE is for calls under way, or was for those of processes that have died. With --json: one array.",
    )
    .action((options: MeshOptions) =>
      withMesh(options, async (mesh) => {
        const reports = await listBudgets(budgetBucket(mesh));
        if (options.json) printJson(reports.map(asJson));
        else if (reports.length === 0) print(`No budgets in mesh ${mesh.mesh}.`);
        else for (const line of table(HEADER, reports.map(cells))) print(line);
      }),
    );
}

function setCommand(): Command {
  return meshCommand("set", "set a budget's limit, from the next calls on")
    .argument("<budget>", NAMES, budgetArgument)
    .option("--usd <dollars>", "US dollars", amountArgument)
    .option("--tokens <count>", "tokens, of input and output together", amountArgument)
    .addHelpText(
      "after",
      "\nWhat is not named is not limited any more. Calls must be charged to it: see openModels({ budgets }).",
    )
    .action((name: string, options: MeshOptions & { usd?: number; tokens?: number }) => {
      const { usd, tokens } = options;
      if (usd === undefined && tokens === undefined)
        throw new UsageError("Name --usd, --tokens or both.");
      return withMesh(options, async (mesh) => {
        const bucket = budgetBucket(mesh);
        await setBudget(bucket, name, {
          ...(usd === undefined ? {} : { usd }),
          ...(tokens === undefined ? {} : { tokens }),
        });
        show((await readBudget(bucket, name))!, options);
      });
    });
}

function releaseCommand(): Command {
  return meshCommand("release", "give back what dead processes had set aside")
    .argument("<budget>", NAMES, budgetArgument)
    .addHelpText(
      "after",
      "\nNobody knows whether what they had set aside was spent: look at the provider's bill. Living processes go on, but their calls under way do not count against the limit.",
    )
    .action((name: string, options: MeshOptions) =>
      withMesh(options, async (mesh) => {
        const bucket = budgetBucket(mesh);
        await releaseBudget(bucket, name);
        const report = await readBudget(bucket, name);
        if (report === undefined)
          throw new MeshError("INVALID_INPUT", `There is no budget ${name}.`);
        show(report, options);
      }),
    );
}

function show(report: BudgetReport, { json }: MeshOptions): void {
  if (json) printJson(asJson(report));
  else for (const line of table(HEADER, [cells(report)])) print(line);
}

function asJson({ name, limit, spent, held, processes }: BudgetReport): object {
  return { budget: name, limit: plain(limit), spent: plain(spent), held: plain(held), processes };
}

/** JSON has no infinity: what is not limited is left out. */
function plain({ nanoUsd, tokens }: Amount): object {
  return {
    ...(nanoUsd === Infinity ? {} : { usd: nanoUsd / 1e9 }),
    ...(tokens === Infinity ? {} : { tokens }),
  };
}

function cells({ name, limit, spent, held, processes }: BudgetReport): string[] {
  const shares = [spent.nanoUsd / limit.nanoUsd, spent.tokens / limit.tokens];
  const used = Math.max(...shares.filter((share) => !Number.isNaN(share)));
  const percent = `${(used * 100).toFixed(1)} %`;
  return [
    paint("bold", name),
    text(spent, limit),
    text(held, limit),
    text(limit, limit),
    used >= 0.8 ? paint("red", percent) : percent,
    String(processes),
  ];
}

/** An amount, in what is limited. */
function text({ nanoUsd, tokens }: Amount, limit: Amount): string {
  const parts = [
    ...(limit.nanoUsd === Infinity ? [] : [`$${(nanoUsd / 1e9).toFixed(6)}`]),
    ...(limit.tokens === Infinity ? [] : [`${tokens.toLocaleString("en-US")} tokens`]),
  ];
  return parts.join(", ");
}

function budgetArgument(value: string): string {
  if (/^(mesh|(agent|tenant|run):.+)$/.test(value)) return value;
  throw new InvalidArgumentError(`A budget is ${NAMES}.`);
}

function amountArgument(value: string): number {
  const amount = Number(value);
  if (value.trim() !== "" && amount >= 0 && Number.isFinite(amount)) return amount;
  throw new InvalidArgumentError("Use a number, 0 or more.");
}
