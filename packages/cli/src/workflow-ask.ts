import { createInterface } from "node:readline/promises";
import { Command } from "@plexus/workflow";
import { harmless, oneLine, toText } from "./output.ts";
import { follow, showResult, type OutcomeOptions, type Running } from "./workflow-outcome.ts";
import { SHOWN } from "./workflow-progress.ts";

/** Shows a run until it rests, and what it has come to; at a terminal, whoever sits there is asked what it waits for. */
export async function settle(running: Running, options: OutcomeOptions): Promise<void> {
  const { executed, json, signal: detach } = options;
  let { answered = false } = options;
  let result = await follow(running, options);
  const atTerminal = process.stdin.isTTY && process.stderr.isTTY && !json;
  for (;;) {
    const question = atTerminal ? result.interrupts[0] : undefined;
    if (question === undefined) break;
    const { id, node, value, problem } = question;
    const why = problem === undefined || !answered ? "" : `(not taken: ${oneLine(problem)})\n`;
    const text = await ask(`${why}${oneLine(node)} asks: ${harmless(toText(value))}\n> `, options);
    if (text === undefined) break; // it stays open
    const { thread } = result;
    const command = new Command({ resume: answerOf(text), interrupt: id });
    answered = true;
    const progress = executed.graph.stream(command, { thread, mode: SHOWN, detach });
    result = await follow({ progress, result: progress.result }, options);
  }
  await showResult(result, { ...options, answered });
}

/** An answer that was typed: JSON, or else the text. */
export function answerOf(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}

/** What is typed; undefined for nothing. */
async function ask(
  question: string,
  { signal, out: output }: OutcomeOptions,
): Promise<string | undefined> {
  const terminal = createInterface({ input: process.stdin, output });
  const { promise: closed, resolve } = Promise.withResolvers<undefined>();
  terminal.on("SIGINT", () => process.kill(process.pid, "SIGINT")); // a second one may end all
  terminal.on("close", () => resolve(undefined));
  try {
    const text = await Promise.race([terminal.question(question, { signal }), closed]);
    if (text === undefined) output.write("\n"); // Ctrl-D leaves the cursor behind the question
    return text?.trim() || undefined;
  } finally {
    terminal.close();
  }
}
