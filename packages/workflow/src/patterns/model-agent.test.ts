import { expect, test } from "vitest";
import { ask, killedBehindEachRecord, refusal, script } from "../../../../test/support/patterns.ts";
import type { ChatMessage, ToolCall } from "./conversation.ts";
import { modelAgent, type AgentTool, type ChatModels } from "./model-agent.ts";
import { network } from "./network.ts";
import { supervisor } from "./supervisor.ts";

type Asked = Parameters<ChatModels["generate"]>[1];
type Answer = Awaited<ReturnType<ChatModels["generate"]>>;

/** Models that follow a script by role, and what they were asked. A request that a provider would refuse is an error. */
function scripted(answers: Record<string, (asked: Asked, nth: number) => Partial<Answer>>) {
  const asked: { readonly role: string; readonly ask: Asked; readonly key: string }[] = [];
  const models: ChatModels = {
    async generate(role, what, { idempotencyKey }) {
      const problem = refusal(what.messages as readonly ChatMessage[]);
      if (problem !== undefined) throw new Error(problem);
      const nth = asked.filter((one) => one.role === role).length + 1;
      asked.push({ role, ask: what, key: idempotencyKey });
      return { text: "", toolCalls: [], ...answers[role]!(what, nth) };
    },
  };
  return { models, asked };
}

function call(name: string, input: unknown = {}, id = `id_${name}`): ToolCall {
  return { id, name, input };
}

const look: AgentTool = {
  name: "look",
  description: "Looks something up.",
  schema: { type: "object" },
  check: (input) =>
    typeof input === "string" ? { problem: "an object is needed" } : { value: input },
  run: (input) => {
    if (JSON.stringify(input).includes("secret")) throw new Error("not allowed");
    return { found: input };
  },
};

test("a model hands off by a tool for each peer, and its own call stays in the history, with its id and what its provider needs", async () => {
  const meta = { google: { thoughtSignature: "s" } };
  const { models, asked } = scripted({
    front: () => ({
      text: "Moment.",
      toolCalls: [{ ...call("transfer_to_back", { task: "dig" }), meta }],
    }),
    back: () => ({ text: "dug" }),
  });
  const graph = network({
    agents: {
      front: modelAgent(models, "front", { system: "You are in front." }),
      back: { run: modelAgent(models, "back"), description: "Digs." },
    },
  }).compile();
  const { output } = await graph.invoke(ask("Dig"));
  expect(asked[0]!.ask).toMatchObject({
    system: "You are in front.",
    tools: [{ name: "transfer_to_back", description: "Hand off to back: Digs." }],
  });
  expect(output.messages[1]).toMatchObject({ toolCalls: [{ id: "id_transfer_to_back", meta }] });
  expect(asked[1]!.ask.messages).toEqual([
    { role: "user", text: "Dig" },
    {
      role: "assistant",
      text: "front: Moment.",
      toolCalls: [{ ...call("transfer_to_back", { task: "dig" }), meta }],
    },
    {
      role: "tool",
      results: [
        { id: "id_transfer_to_back", name: "transfer_to_back", output: "Handed off to back." },
      ],
    },
  ]);
});

test("a model as supervisor has its agents work, several at once, and answers", async () => {
  const { models } = scripted({
    boss: (_, nth) =>
      nth === 1
        ? {
            toolCalls: [call("transfer_to_a", { task: "1" }), call("transfer_to_b", { task: "2" })],
          }
        : { text: "all done" },
  });
  const graph = supervisor({
    agents: { a: ({ task }) => `a${task}`, b: ({ task }) => `b${task}` },
    decide: modelAgent(models, "boss"),
  }).compile();
  const { output } = await graph.invoke(ask("Work"));
  expect(script(output.messages)).toEqual([
    "user: Work",
    'supervisor: transfer_to_a({"task":"1"}) transfer_to_b({"task":"2"})',
    "transfer_to_a = Handed off to a.",
    "transfer_to_b = Handed off to b.",
    "a: a1 transfer_back_to_supervisor({})",
    "transfer_back_to_supervisor = Handed back to supervisor.",
    "b: b2 transfer_back_to_supervisor({})",
    "transfer_back_to_supervisor = Handed back to supervisor.",
    "supervisor: all done",
  ]);
});

test("in a network, a model that hands off to two is told that one goes on", async () => {
  const { models } = scripted({
    front: () => ({ toolCalls: [call("transfer_to_a"), call("transfer_to_b")] }),
  });
  const graph = network({
    agents: { front: modelAgent(models, "front"), a: () => "a", b: () => "b" },
  }).compile();
  const { output } = await graph.invoke(ask("Go"));
  expect(script(output.messages).slice(2)).toEqual([
    "transfer_to_a = Handed off to a.",
    "transfer_to_b failed = Not handed off: only one agent can go on.",
    "a: a",
  ]);
});

test("a model that gives an agent two tasks at once is told that it does one, the first", async () => {
  const { models } = scripted({
    boss: (_, nth) =>
      nth === 1
        ? {
            toolCalls: [
              call("transfer_to_a", { task: "1" }, "c1"),
              call("transfer_to_a", { task: "2" }, "c2"),
            ],
          }
        : { text: "done" },
  });
  const graph = supervisor({
    agents: { a: ({ task }) => `did ${task}` },
    decide: modelAgent(models, "boss"),
  }).compile();
  const { output } = await graph.invoke(ask("Work"));
  expect(script(output.messages).slice(2, 5)).toEqual([
    "transfer_to_a = Handed off to a.",
    "transfer_to_a failed = Not handed off: a can do one thing at a time.",
    "a: did 1 transfer_back_to_supervisor({})",
  ]);
});

test("tools are executed, and what goes wrong is told to the model: a throw, a wrong input, a tool or peer that is not there", async () => {
  const { models, asked } = scripted({
    clerk: (_, nth) =>
      nth === 1
        ? {
            text: "I look.",
            toolCalls: [
              call("look", { at: 1 }, "c1"),
              call("look", { at: "secret" }, "c2"),
              call("look", "nonsense", "c3"),
              call("transfer_to_nobody", {}, "c4"),
            ],
          }
        : { text: "well" },
  });
  const graph = network({ agents: { clerk: modelAgent(models, "clerk", { tools: [look] }) } });
  const { output } = await graph.compile().invoke(ask("Look"));
  expect(asked[1]!.ask.messages[1]).toMatchObject({ role: "assistant", text: "I look." });
  expect(asked[1]!.ask.messages.at(-1)).toEqual({
    role: "tool",
    results: [
      { id: "c1", name: "look", output: { found: { at: 1 } } },
      { id: "c2", name: "look", output: "not allowed", failed: true },
      {
        id: "c3",
        name: "look",
        output: "The input does not match: an object is needed",
        failed: true,
      },
      {
        id: "c4",
        name: "transfer_to_nobody",
        output: "There is no tool transfer_to_nobody.",
        failed: true,
      },
    ],
  });
  expect(output.messages.map(({ scratch }) => scratch)).toEqual([
    undefined,
    "clerk",
    "clerk",
    undefined,
  ]);
});

test("tools that are called in the message that hands off have their results in it, too", async () => {
  const { models } = scripted({
    front: () => ({ toolCalls: [call("look", { at: 1 }), call("transfer_to_back")] }),
  });
  const graph = network({
    agents: { front: modelAgent(models, "front", { tools: [look] }), back: () => "back" },
  }).compile();
  const { output } = await graph.invoke(ask("Go"));
  expect(output.messages[2]).toMatchObject({
    results: [
      { name: "transfer_to_back", output: "Handed off to back." },
      { name: "look", output: { found: { at: 1 } } },
    ],
  });
});

test("a tool that is stopped by the attempt's timeout has not failed for the next attempt", async () => {
  const { models } = scripted({
    clerk: (_, nth) => (nth === 1 ? { toolCalls: [call("look")] } : { text: "well" }),
  });
  let runs = 0;
  const hanging: AgentTool = {
    ...look,
    run: (_, { signal }) =>
      ++runs > 1
        ? "found"
        : new Promise((_resolve, reject) => {
            signal.addEventListener("abort", () => reject(new Error("stopped")));
          }),
  };
  const clerk = modelAgent(models, "clerk", { tools: [hanging] });
  const graph = network({
    agents: { clerk: { run: clerk, timeout: 1_000, retry: { attempts: 2, first: 1 } } },
  }).compile();
  const { output } = await graph.invoke(ask("Look"));
  expect(script(output.messages)).toContain("look = found");
  expect(runs).toBe(2);
});

test("an agent cannot stream what its models do not", () => {
  const { models } = scripted({});
  expect(() => modelAgent(models, "clerk", { stream: true })).toThrow(
    "clerk: its models cannot stream",
  );
});

test("a model that only ever calls tools is stopped", async () => {
  const { models } = scripted({ clerk: () => ({ toolCalls: [call("look")] }) });
  const graph = network({
    agents: { clerk: modelAgent(models, "clerk", { tools: [look], maxSteps: 3 }) },
  }).compile();
  await expect(graph.invoke(ask("Look"))).rejects.toMatchObject({
    code: "STEP_LIMIT",
    message: "Node clerk: its model has not answered within 3 calls",
  });
});

test("killed behind any record and resumed, no call of a model that was recorded is made again", async () => {
  const { models, asked } = scripted({
    clerk: ({ messages }) =>
      messages.length < 4
        ? { toolCalls: [call("look", { at: messages.length }, `c${messages.length}`)] }
        : { text: `after ${messages.length}` },
  });
  const lives: number[] = [];
  const { output, kills } = await killedBehindEachRecord((checkpointer) => {
    lives.push(asked.length);
    return network({ agents: { clerk: modelAgent(models, "clerk", { tools: [look] }) } }).compile({
      checkpointer,
    });
  }, ask("Look"));
  expect(output.messages.at(-1)).toMatchObject({ text: "after 5" });
  const calls = [...lives, asked.length].slice(1).map((now, i) => now - lives[i]!);
  // The calm run asks three times; whoever goes on behind a later record, less and less often.
  expect(calls[0]).toBe(3);
  expect(calls.slice(1)).toEqual(calls.slice(1).toSorted((a, b) => b - a));
  expect(calls.at(-1)).toBe(0);
  expect(calls.filter((count) => count === 2).length).toBeGreaterThan(1);
  expect(kills).toBeGreaterThan(5);
});
