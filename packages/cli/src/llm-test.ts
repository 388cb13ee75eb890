import { isMeshError } from "@plexus/core";
import { environmentGroups, openModels, tool, type Models } from "@plexus/llm";
import { Command } from "commander";
import { z } from "zod";
import { EXIT, UsageError } from "./exit-codes.ts";
import { interruptible } from "./interrupt.ts";
import { meshOptions, type MeshOptions } from "./mesh-options.ts";
import { paint, print, printJson, table } from "./output.ts";

interface TestOptions extends Pick<MeshOptions, "json" | "timeout"> {
  readonly baseUrl?: string;
  readonly model?: string;
  readonly provider?: string;
}

/** One thing that was tried. */
interface Trial {
  readonly what: string;
  readonly ok: boolean;
  readonly ms: number;
  readonly costUsd: number;
  /** The answer, or why there is none. */
  readonly said: string;
}

const HEADER = ["", "TRIED", "TIME", "COST", "ANSWER"];
const SHOWN = 80;

/** `plexus llm test` */
export function llmTestCommand(): Command {
  const command = new Command("test")
    .description("ask a model for a text, a stream, an object and a tool call")
    .option("--base-url <url>", "of an OpenAI-compatible gateway (PLEXUS_LLM_BASE_URL)")
    .option("--model <name>", "which model (PLEXUS_LLM_MODEL)")
    .option("--provider <name>", "openai-compatible, anthropic or google (PLEXUS_LLM_PROVIDER)")
    .addHelpText(
      "after",
      "\nThe key is in PLEXUS_LLM_API_KEY: on a command line, others could read it. Exit code 1 when anything failed.",
    );
  for (const option of meshOptions()) {
    if (option.long === "--json" || option.long === "--timeout") command.addOption(option);
  }
  return command.action(async (options: TestOptions) => {
    const code = await interruptible((signal) => testModels(options, signal));
    process.exitCode = code;
  });
}

async function testModels(options: TestOptions, signal: AbortSignal): Promise<number> {
  const { baseUrl, model, provider, timeout = "30s" } = options;
  const env = {
    ...process.env,
    ...(baseUrl === undefined ? {} : { PLEXUS_LLM_BASE_URL: baseUrl }),
    ...(model === undefined ? {} : { PLEXUS_LLM_MODEL: model }),
    ...(provider === undefined ? {} : { PLEXUS_LLM_PROVIDER: provider }),
  };
  await using llm = await openModels({ groups: groupsOf(env) });
  const how = { signal, timeout, cache: false };
  const trials: Trial[] = [];
  for (const [what, run] of Object.entries(tries)) {
    const began = performance.now();
    // One after the other, so that they can be timed.
    const outcome = await run(llm, how).then(
      ({ said, costUsd }) => ({ ok: true, said, costUsd }),
      (error: unknown) => ({ ok: false, said: failureOf(error), costUsd: 0 }),
    );
    signal.throwIfAborted();
    trials.push({ what, ...outcome, ms: Math.round(performance.now() - began) });
  }
  const ok = trials.every((trial) => trial.ok);
  if (options.json) printJson({ model: env.PLEXUS_LLM_MODEL, ok, trials });
  else for (const line of table(HEADER, trials.map(row))) print(line);
  return ok ? EXIT.ok : EXIT.failed;
}

type How = { signal: AbortSignal; timeout: NonNullable<MeshOptions["timeout"]>; cache: boolean };

const tries: Record<string, (llm: Models, how: How) => Promise<{ said: string; costUsd: number }>> =
  {
    async text(llm, how) {
      const { text, costUsd } = await llm.generate("default", "Say hello in three words.", how);
      return { said: text, costUsd };
    },
    async stream(llm, how) {
      const stream = llm.stream("default", "Count from one to five.", how);
      let pieces = 0;
      for await (const _ of stream) pieces++;
      const { text, costUsd } = await stream.answer;
      return { said: `${text} (${pieces} pieces)`, costUsd };
    },
    async object(llm, how) {
      const schema = z.object({ city: z.string(), country: z.string() });
      const ask = { prompt: "Name a large city and its country.", schema };
      const { object, costUsd } = await llm.object("default", ask, how);
      return { said: JSON.stringify(object), costUsd };
    },
    async tool(llm, how) {
      const add = tool("add", {
        description: "Adds two whole numbers",
        input: z.object({ a: z.number(), b: z.number() }),
        run: ({ a, b }) => a + b,
      });
      const prompt = "What is 1234 plus 4321? Use the tool.";
      const { text, steps, costUsd } = await llm.run("default", { prompt, tools: [add] }, how);
      return { said: `${text} (${steps === 1 ? "without the tool" : `${steps} steps`})`, costUsd };
    },
  };

function groupsOf(env: NodeJS.ProcessEnv): ReturnType<typeof environmentGroups> {
  try {
    return environmentGroups(env);
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

function failureOf(error: unknown): string {
  return isMeshError(error) ? `${error.code}: ${error.message}` : String(error);
}

function row({ what, ok, ms, costUsd, said }: Trial): string[] {
  const line = said.replaceAll(/\s+/g, " ");
  return [
    ok ? paint("green", "ok") : paint("red", "failed"),
    what,
    `${ms} ms`,
    costUsd === 0 ? "-" : `$${costUsd.toFixed(6)}`,
    ok && line.length > SHOWN ? `${line.slice(0, SHOWN)}…` : line,
  ];
}
