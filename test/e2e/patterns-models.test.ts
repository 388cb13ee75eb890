import type { StubRequest } from "@plexus/testing";
import { modelAgent, network, supervisor } from "@plexus/workflow";
import { expect, test } from "vitest";
import { deployment, useModels } from "../support/models.ts";
import { ask, script } from "../support/patterns.ts";

const open = useModels();

type Part = { type: string; id?: string; tool_use_id?: string };
type OpenAiMessage = { role: string; tool_calls?: { id: string }[]; tool_call_id?: string };
type AnthropicMessage = { role: string; content: string | Part[] };

/** What OpenAI says to a request whose calls are not answered at once, by messages with their ids. */
function openAiRefuses({ messages }: { messages: OpenAiMessage[] }): boolean {
  return messages.some((message, i) => {
    const ids = (message.tool_calls ?? []).map(({ id }) => id);
    const answers = messages.slice(i + 1, i + 1 + ids.length).map((one) => one.tool_call_id ?? "");
    if (ids.toSorted().join() !== answers.toSorted().join()) return true;
    return message.role === "tool" && messages[0]!.role === "tool";
  });
}

/** The same for Anthropic: results are parts of the next message, and the last one is never the assistant's. */
function anthropicRefuses({ messages }: { messages: AnthropicMessage[] }): boolean {
  const parts = ({ content }: AnthropicMessage): Part[] =>
    typeof content === "string" ? [] : content;
  if (messages[0]?.role !== "user" || messages.at(-1)?.role !== "user") return true;
  return messages.some((message, i) => {
    const calls = parts(message).flatMap(({ type, id }) => (type === "tool_use" ? [id!] : []));
    const next = messages[i + 1];
    const results = (next === undefined ? [] : parts(next)).flatMap(
      ({ tool_use_id: id }) => id ?? [],
    );
    return calls.toSorted().join() !== results.toSorted().join();
  });
}

function strict({ wire, body }: StubRequest): boolean {
  return wire === "openai" ? openAiRefuses(body as never) : anthropicRefuses(body as never);
}

test.each(["openai-compatible", "anthropic"] as const)(
  "models of the model layer are agents: a strict provider (%s) accepts every request of a hierarchy and of a network",
  async (provider) => {
    const server = await open.server();
    const refused: StubRequest[] = [];
    server.always((request) => {
      if (strict(request)) {
        refused.push(request);
        return { kind: "status", status: 400, message: "no tool result for a tool call" };
      }
      const results = request.messages.filter(({ text }) => text.includes("Handed")).length;
      const first = request.tools[0];
      if (first !== undefined && results < 3) {
        return {
          kind: "reply",
          text: "On it.",
          toolCalls: [{ name: first, input: { task: "it" } }],
        };
      }
      return { kind: "reply", text: `after ${results}` };
    });
    const models = await open.open({
      groups: { default: { deployments: [deployment(server, { provider, timeout: "30s" })] } },
    });
    const member = (role: string) => modelAgent(models, role, { system: `You are ${role}.` });
    const team = network({
      name: "team",
      agents: { writer: member("writer"), editor: member("editor") },
    }).compile();
    const graph = supervisor({
      agents: { team, critic: member("critic") },
      decide: member("boss"),
      share: "full",
    }).compile();
    const { output } = await graph.invoke(ask("Write something"));
    expect(refused).toEqual([]);
    expect(server.count).toBeGreaterThan(3);
    const told = script(output.messages);
    expect(told[0]).toBe("user: Write something");
    expect(told[1]).toBe('supervisor: On it. transfer_to_team({"task":"it"})');
    expect(told.at(-1)).toMatch(/^supervisor: after \d/);
  },
);

test("what an agent's model says is told as it comes, to whoever streams the run", async () => {
  const server = await open.server();
  server.always({ kind: "reply", text: "one two three" });
  const models = await open.open({
    groups: { default: { deployments: [deployment(server, { timeout: "30s" })] } },
  });
  const clerk = modelAgent(models, "clerk", { stream: true });
  const stream = network({ agents: { clerk } }).compile().stream(ask("Count"), { mode: "tokens" });
  const pieces: string[] = [];
  for await (const item of stream) pieces.push(item.text);
  expect(pieces.length).toBeGreaterThan(1);
  expect(pieces.join("")).toBe("one two three");
  const { output } = await stream.result;
  expect(output.messages.at(-1)).toMatchObject({ name: "clerk", text: "one two three" });
});
