import { MeshError, toTimerMs, type Duration } from "@plexus/core";
import type { Answer, Ask, CallOptions } from "./answer.ts";
import type { Message, ToolCall, ToolResult, Usage } from "./model.ts";
import { toolSpec, type Tool } from "./tool.ts";

/** What is asked, and the tools to find the answer with. */
export interface LoopAsk extends Omit<Ask, "tools" | "schema"> {
  readonly tools: readonly Tool[];
}

/** Where results are recorded, so that whoever starts again goes on: the context of a durable task. */
export interface Effects {
  effect<T>(name: string, run: (key: string) => T | Promise<T>): Promise<T>;
}

/** How a loop runs. The options of calls are for each call of the model. */
export interface LoopOptions extends CallOptions {
  /** Calls of the model, the last one included. Default 10. */
  readonly maxSteps?: number;
  /** No further call once this was spent. */
  readonly maxCostUsd?: number;
  /** Default: none, and a loop that is started again begins again. */
  readonly effects?: Effects;
  /** Tells loops of one task apart. Default `llm`. */
  readonly name?: string;
  readonly onStep?: (event: LoopEvent) => void;
  /** For each call of a tool. Default 30 s. */
  readonly toolTimeout?: Duration;
}

/** What happened in a step. */
export type LoopEvent =
  | { readonly type: "model"; readonly step: number; readonly answer: Answer }
  | { readonly type: "tools"; readonly step: number; readonly results: readonly ToolResult[] };

/** What a loop has come to. */
export interface LoopAnswer {
  readonly text: string;
  readonly steps: number;
  readonly usage: Usage;
  readonly costUsd: number;
  /** The whole conversation, to go on with. */
  readonly messages: readonly Message[];
}

type Generate = (role: string, ask: Ask, options: CallOptions) => Promise<Answer>;

const direct: Effects = { effect: async (name, run) => run(name) };

/**
 * Asks a model, executes the tools that it calls (those of one step at the same time), tells it the results, and so on until it
 * answers. What a tool throws is told to the model. Every call of the model and of a tool is an effect: what was recorded is
 * not done, or paid, again.
 */
export async function runTools(
  models: { readonly generate: Generate },
  role: string,
  ask: LoopAsk,
  options: LoopOptions,
): Promise<LoopAnswer> {
  const { maxSteps = 10, maxCostUsd = Infinity, effects = direct, name = "llm", onStep } = options;
  const { tools, prompt, system, messages: given = [], ...rest } = ask;
  const byName = new Map(tools.map((one) => [one.name, one]));
  const messages: Message[] = [
    ...given,
    ...(prompt === undefined ? [] : [{ role: "user" as const, text: prompt }]),
  ];
  const specs = tools.map(toolSpec);
  const usage = { inputTokens: 0, outputTokens: 0, cachedTokens: 0 };
  let costUsd = 0;
  for (let step = 1; step <= maxSteps; step++) {
    if (costUsd >= maxCostUsd) {
      throw new MeshError(
        "BUDGET_EXCEEDED",
        `${role}: $${costUsd.toFixed(6)} were spent in ${step - 1} steps, of $${maxCostUsd} allowed, without an answer.`,
      );
    }
    const answer = await effects.effect(`${name}.${step}.model`, (key) =>
      models.generate(
        role,
        { ...rest, ...(system === undefined ? {} : { system }), messages, tools: specs },
        { ...options, idempotencyKey: key, confirm: options.confirm ?? effects !== direct },
      ),
    );
    usage.inputTokens += answer.usage.inputTokens;
    usage.outputTokens += answer.usage.outputTokens;
    usage.cachedTokens += answer.usage.cachedTokens;
    costUsd += answer.costUsd;
    onStep?.({ type: "model", step, answer });
    const { text, toolCalls } = answer;
    messages.push({ role: "assistant", text, ...(toolCalls.length > 0 ? { toolCalls } : {}) });
    if (toolCalls.length === 0) return { text, steps: step, usage, costUsd, messages };
    const results = await Promise.all(
      toolCalls.map((call, i) =>
        effects.effect(`${name}.${step}.tool.${i}`, (key) =>
          execute(byName.get(call.name), call, key, options),
        ),
      ),
    );
    messages.push({ role: "tool", results });
    onStep?.({ type: "tools", step, results });
  }
  throw new MeshError("BUDGET_EXCEEDED", `${role} has not answered within ${maxSteps} steps.`);
}

/** One call of a tool. Only the caller's own signal makes it reject. */
async function execute(
  found: Tool | undefined,
  { id, name, input }: ToolCall,
  key: string,
  { signal, toolTimeout = "30s" }: LoopOptions,
): Promise<ToolResult> {
  const failed = (output: string): ToolResult => ({ id, name, output, failed: true });
  if (found === undefined) return failed(`There is no tool ${name}.`);
  const checked = found.check(input);
  if (!("value" in checked)) return failed(`The input does not match: ${checked.problem}`);
  const timeout = AbortSignal.timeout(toTimerMs(toolTimeout));
  const own = signal === undefined ? timeout : AbortSignal.any([signal, timeout]);
  const { promise: ended, reject } = Promise.withResolvers<never>();
  const abort = (): void => reject(own.reason as Error);
  own.addEventListener("abort", abort, { once: true });
  try {
    own.throwIfAborted();
    const work = async (): Promise<unknown> => found.run(checked.value, { signal: own, key });
    const output = await Promise.race([work(), ended]);
    return { id, name, output: output ?? null };
  } catch (error) {
    if (signal?.aborted) throw error;
    return failed(error instanceof Error ? error.message : String(error));
  } finally {
    own.removeEventListener("abort", abort);
  }
}
