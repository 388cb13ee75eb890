import * as fc from "fast-check";
import { expect, test } from "vitest";
import { refusal } from "../../../../test/support/patterns.ts";
import { StateGraph } from "../graph.ts";
import { conversation, type ChatMessage, type NewChatMessage } from "./conversation.ts";
import { callId, handoffTool, taskFor } from "./handoff.ts";
import { estimateTokens, fitTokens, shownTo } from "./sharing.ts";

type Kind = "user" | "system" | "answer" | "call" | "calls";

/** A conversation as patterns record it. */
function talk(kinds: readonly Kind[]): ChatMessage[] {
  return kinds.flatMap((kind, i): ChatMessage[] => {
    const id = `m${i}`;
    const text = "x".repeat(i * 7);
    if (kind === "user" || kind === "system") return [{ id, role: kind, text }];
    if (kind === "answer") return [{ id, role: "assistant", text }];
    const calls = kind === "call" ? [1] : [1, 2];
    const toolCalls = calls.map((n) => ({ id: callId(id, n), name: "tool", input: { text } }));
    const results = toolCalls.map((call) => ({ id: call.id, name: call.name, output: text }));
    return [
      { id, role: "assistant", text, toolCalls },
      { id: `${id}r`, role: "tool", results },
    ];
  });
}

const someTurns = fc
  .array(fc.constantFrom<Kind>("user", "system", "answer", "call", "calls"), { maxLength: 12 })
  .map((kinds) => talk((["user"] as Kind[]).concat(kinds)));

test("whatever the cap, what is left is a conversation that providers accept, and the newest of it", () => {
  fc.assert(
    fc.property(someTurns, fc.integer({ min: 1, max: 400 }), (messages, cap) => {
      const kept = fitTokens(messages, cap);
      const next = { id: "next", role: "user" as const, text: "" };
      expect(refusal([...kept, next])).toBeUndefined();
      const ids = messages.map(({ id }) => id);
      const order = kept.filter(({ role }) => role !== "system").map(({ id }) => ids.indexOf(id));
      expect(order).toEqual(order.toSorted((a, b) => a - b));
      expect(kept).toContain(messages.findLast(({ role }) => role !== "system"));
      expect(kept).toContain(messages.findLast(({ role }) => role === "user"));
      const system = messages.filter(({ role }) => role === "system");
      expect(kept.slice(0, system.length)).toEqual(system);
    }),
    { numRuns: 500 },
  );
});

function tokens(list: readonly ChatMessage[]): number {
  return list.reduce((sum, message) => sum + estimateTokens(message), 0);
}

test("a cap is kept, but for what always stays", () => {
  fc.assert(
    fc.property(someTurns, fc.integer({ min: 1, max: 400 }), (messages, cap) => {
      const spoken = messages.filter(({ role }) => role !== "system");
      const last = spoken.at(-1)!;
      const always = messages.filter(
        (message, i) =>
          message.role === "system" ||
          message === messages.findLast(({ role }) => role === "user") ||
          message === last ||
          (last.role === "tool" && messages[i + 1] === last),
      );
      expect(tokens(fitTokens(messages, cap))).toBeLessThanOrEqual(Math.max(cap, tokens(always)));
      expect(fitTokens(messages, tokens(messages)).length).toBe(messages.length);
    }),
    { numRuns: 500 },
  );
});

const said = (text: string) => tokens([{ id: "m", role: "user", text }]);

test("tokens are estimated by bytes, so that other scripts count for more than their characters", () => {
  expect(said("")).toBe(4);
  expect(said("a sentence of words.")).toBe(9);
  expect(said("漢字漢字")).toBe(7);
});

test("the working of others is shown only where sharing is full", () => {
  const messages: ChatMessage[] = [
    { id: "1", role: "user", text: "go" },
    { id: "2", role: "assistant", text: "hm", name: "a", scratch: "a" },
    { id: "3", role: "assistant", text: "yes", name: "a" },
  ];
  const ids = (agent: string, share: "final" | "full") =>
    shownTo(agent, messages, { share }).map(({ id }) => id);
  expect(ids("a", "final")).toEqual(["1", "2", "3"]);
  expect(ids("b", "final")).toEqual(["1", "3"]);
  expect(ids("b", "full")).toEqual(["1", "2", "3"]);
});

const transfer = (task: unknown): NewChatMessage => ({
  role: "assistant",
  text: "",
  toolCalls: [{ id: "c", name: handoffTool({ name: "a", description: "" }).name, input: task }],
});

test("a task is what was said with the last hand-off, and ends with what a user says next", () => {
  expect(taskFor("a", [transfer({ task: "old" }), transfer({ task: "new" })])).toBe("new");
  expect(taskFor("b", [transfer({ task: "old" })])).toBeUndefined();
  expect(taskFor("a", [transfer(null)])).toBeUndefined();
  expect(taskFor("a", [transfer({ task: 7 })])).toBeUndefined();
  const asked: NewChatMessage = { role: "user", text: "and now?" };
  expect(taskFor("a", [transfer({ task: "old" }), asked])).toBeUndefined();
});

test("a conversation takes no call without its result, no result without its call, and no other role", async () => {
  const call = { id: "c1", name: "search", input: {} };
  const result = { id: "c1", name: "search", output: 1 };
  const graph = new StateGraph({ messages: conversation() })
    .addNode("end", () => ({}))
    .addEdge("__start__", "end")
    .addEdge("end", "__end__")
    .compile();
  const say = (...messages: NewChatMessage[]) => graph.invoke({ messages });
  const calling: NewChatMessage = { role: "assistant", text: "", toolCalls: [call] };
  const told: NewChatMessage = { role: "tool", results: [result] };
  const { output } = await say(calling, told);
  expect(output.messages).toMatchObject([calling, told]);
  await expect(say(calling)).rejects.toThrow("the call of search as c1 is not followed by");
  await expect(say(told)).rejects.toThrow("nothing has called search as c1");
  await expect(say(calling, { role: "user", text: "?" }, told)).rejects.toThrow("not followed by");
  await expect(say(calling, { role: "tool", results: [{ ...result, id: "c2" }] })).rejects.toThrow(
    "the call of search as c1 is not followed by",
  );
  await expect(say({ role: "robot", text: "" } as never)).rejects.toMatchObject({
    code: "INVALID_INPUT",
  });
});
