import {
  MemoryCheckpointer,
  type AgentFunction,
  type ChatMessage,
  type CompiledGraph,
} from "@plexus/workflow";
import { expect } from "vitest";

/** What a strict provider would say to a conversation as a request; undefined: it would answer. */
export function refusal(messages: readonly ChatMessage[]): string | undefined {
  const spoken = messages.filter(({ role }) => role !== "system");
  if (spoken[0]?.role !== "user") return "the first message must be a user's";
  if (spoken.at(-1)?.role === "assistant") return "the last message must not be the assistant's";
  for (const [i, message] of spoken.entries()) {
    const before = spoken[i - 1];
    const calls = before?.role === "assistant" ? (before.toolCalls ?? []) : [];
    const results = message.role === "tool" ? message.results : [];
    if (idsOf(calls) !== idsOf(results)) return `message ${i} does not answer the calls`;
    for (const { id, name } of results) {
      if (!/^[a-zA-Z0-9_-]{1,40}$/.test(id)) return `${id} is no id of a call`;
      if (!/^[a-zA-Z0-9_-]{1,64}$/.test(name)) return `${name} is no name of a tool`;
    }
    if (message.role === "tool" && calls.length === 0) return `message ${i} answers nothing`;
  }
  return undefined;
}

function idsOf(list: readonly { readonly id: string }[]): string {
  return list
    .map(({ id }) => id)
    .toSorted()
    .join();
}

/** An agent that is shown only what a provider would accept, and what it was shown. */
export function overheard(agent: AgentFunction): {
  readonly run: AgentFunction;
  readonly shown: (readonly ChatMessage[])[];
} {
  const shown: (readonly ChatMessage[])[] = [];
  return {
    shown,
    run: (input, context) => {
      const problem = refusal(input.messages);
      if (problem !== undefined) throw new Error(`${problem}: ${JSON.stringify(input.messages)}`);
      shown.push(input.messages);
      return agent(input, context);
    },
  };
}

/** The conversation as a script: who says what, calls whom, is told what. */
export function script(messages: readonly ChatMessage[]): string[] {
  return messages.flatMap((message): string[] => {
    if (message.role === "tool") {
      return message.results.map(({ name, output, failed }) => {
        return `${name}${failed === true ? " failed" : ""} = ${String(output)}`;
      });
    }
    const calls = message.role === "assistant" ? (message.toolCalls ?? []) : [];
    const called = calls.map(({ name, input }) => `${name}(${JSON.stringify(input)})`);
    const who = message.name ?? message.role;
    return [`${who}: ${[message.text, ...called].filter((part) => part !== "").join(" ")}`];
  });
}

/** A user's message. */
export function ask(text: string): {
  readonly messages: readonly [{ role: "user"; text: string }];
} {
  return { messages: [{ role: "user", text }] };
}

const THREAD = "t";

/**
 * Executes the graph in peace, and then once for each record that it has left: by a process that finds the records up to there, as if
 * the one before had been killed. All of them must come to the same result, which is returned, with how many were killed.
 */
export async function killedBehindEachRecord<Input, Output>(
  open: (checkpointer: MemoryCheckpointer) => CompiledGraph<Input, Output>,
  input: Input,
): Promise<{ readonly output: Output; readonly kills: number }> {
  const store = new MemoryCheckpointer();
  const { output } = await open(store).invoke(input, { thread: THREAD, durability: "sync" });
  const { records } = await store.read(THREAD, { whole: true });
  for (let length = 1; length <= records.length; length++) {
    const cut = new MemoryCheckpointer();
    const owned = await cut.own(THREAD);
    await owned.append(records.slice(0, length).map(({ bytes }) => bytes));
    await owned[Symbol.asyncDispose]();
    const graph = open(cut);
    const { run, status } = await graph.getState(THREAD);
    const resumed =
      status === "completed"
        ? (await graph.getState(THREAD)).values
        : (await graph.invoke(run === "" ? input : null, { thread: THREAD })).output;
    // A run that was not recorded yet is begun as another one, and ids name the run.
    const comparable = run === "" ? withoutIds : (value: unknown) => value;
    expect({ killedBehind: length, came: comparable(resumed) }).toEqual({
      killedBehind: length,
      came: comparable(output),
    });
  }
  return { output, kills: records.length };
}

function withoutIds(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value, (key, part: unknown) => (key === "id" ? "" : part)));
}
