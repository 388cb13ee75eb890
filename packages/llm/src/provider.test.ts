import { startModelServer, type ModelServer, type StubBehaviour } from "@plexus/testing";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { DeploymentSpec } from "./deployment-spec.ts";
import { Failure } from "./failure.ts";
import type { Model, ModelPart, ModelRequest } from "./model.ts";
import { providerModel } from "./provider.ts";

let server: ModelServer;

beforeEach(async () => {
  server = await startModelServer();
});
afterEach(() => server[Symbol.asyncDispose]());

const providers: [NonNullable<DeploymentSpec["provider"]>, (port: number) => string][] = [
  ["openai-compatible", (port) => `http://127.0.0.1:${port}/v1`],
  ["anthropic", (port) => `http://127.0.0.1:${port}/v1`],
  ["google", (port) => `http://127.0.0.1:${port}/v1beta`],
];
const { signal } = new AbortController();
const add = {
  name: "add",
  description: "Adds",
  input: { type: "object", properties: { a: { type: "number" } }, required: ["a"] },
};
const hello: ModelRequest = {
  messages: [
    { role: "system", text: "Be brief" },
    { role: "user", text: "Hello" },
  ],
  maxTokens: 100,
  temperature: 0,
};

async function all(parts: AsyncIterable<ModelPart>): Promise<ModelPart[]> {
  const found: ModelPart[] = [];
  for await (const part of parts) found.push(part);
  return found;
}

async function failure(work: Promise<unknown>): Promise<Failure> {
  const error: unknown = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(Failure);
  return error as Failure;
}

describe.each(providers)("a model of %s", (provider, baseUrl) => {
  const model = (): Model =>
    providerModel({ provider, model: "stub-model", baseUrl: baseUrl(server.port), apiKey: "key" });

  test("answers with text and usage", async () => {
    const usage = { inputTokens: 12, outputTokens: 3 };
    server.next({ kind: "reply", text: "Hi!", usage });
    const reply = await model().generate(hello, { signal, idempotencyKey: "once" });
    expect(reply).toEqual({
      text: "Hi!",
      toolCalls: [],
      usage: { ...usage, cachedTokens: 0 },
      finishReason: "stop",
    });
    expect(server.calls[0]).toMatchObject({ temperature: 0, maxTokens: 100, key: "key" });
    expect(server.calls[0]!.messages.map(({ role }) => role)).toEqual(["system", "user"]);
  });

  test("streams", async () => {
    server.next({ kind: "reply", text: "one two three" });
    const parts = await all(model().stream(hello, { signal }));
    const texts = parts.flatMap((part) => (part.type === "text" ? [part.text] : []));
    expect(texts.length).toBeGreaterThan(1);
    expect(texts.join("")).toBe("one two three");
    expect(parts.at(-1)).toMatchObject({
      type: "end",
      reply: { text: "one two three", finishReason: "stop", usage: { outputTokens: 4 } },
    });
  });

  test("calls tools, and takes their results", async () => {
    server.always(({ messages }) =>
      messages.some(({ text }) => text.includes("42"))
        ? { kind: "reply", text: "It is 42" }
        : { kind: "reply", toolCalls: [{ name: "add", input: { a: 41 } }] },
    );
    const asked = { ...hello, tools: [add] };
    const first = await model().generate(asked, { signal });
    expect(first).toMatchObject({ text: "", toolCalls: [{ name: "add", input: { a: 41 } }] });
    const streamed = (await all(model().stream(asked, { signal }))).at(-1);
    expect(streamed).toMatchObject({ reply: { toolCalls: [{ input: { a: 41 } }] } });
    const [call] = first.toolCalls;
    const next = await model().generate(
      {
        ...asked,
        messages: [
          ...hello.messages,
          { role: "assistant", text: "", toolCalls: first.toolCalls },
          { role: "tool", results: [{ id: call!.id, name: "add", output: { sum: 42 } }] },
        ],
      },
      { signal },
    );
    expect(next.text).toBe("It is 42");
  });

  test("is given a schema", async () => {
    const schema = {
      type: "object",
      properties: { score: { type: "number", minimum: 1 } },
      required: ["score"],
      additionalProperties: false,
    };
    const reply = await model().generate({ ...hello, schema }, { signal });
    // Where the provider has no schemas, the AI SDK asks for a tool call instead and gives its input as the text.
    if (provider === "anthropic" && reply.text === "") return;
    expect(server.calls[0]!.schema ?? server.calls[0]!.tools).toBeTruthy();
  });

  const cases: [string, StubBehaviour, Partial<Failure>][] = [
    ["401", { kind: "status", status: 401 }, { kind: "auth", status: 401 }],
    ["403", { kind: "status", status: 403 }, { kind: "auth", status: 403 }],
    [
      "429",
      { kind: "status", status: 429, retryAfter: "7" },
      { kind: "rateLimit", retryAfterMs: 7_000 },
    ],
    ["500", { kind: "status", status: 500 }, { kind: "server", status: 500 }],
    ["529", { kind: "status", status: 529 }, { kind: "server" }],
    ["400", { kind: "status", status: 400 }, { kind: "request" }],
    ["a reset", { kind: "reset" }, { kind: "network" }],
    ["HTML", { kind: "html" }, { kind: "malformed" }],
    ["invalid JSON", { kind: "invalidJson" }, { kind: "malformed" }],
    ["another shape", { kind: "wrongShape" }, { kind: "malformed" }],
  ];
  test.each(cases)("fails with %s", async (_name, behaviour, expected) => {
    server.always(behaviour);
    expect(await failure(model().generate(hello, { signal }))).toMatchObject(expected);
    const streamed = await failure(all(model().stream(hello, { signal })));
    expect(streamed.kind).toBe(expected.kind);
  });

  test.each([
    { kind: "streamError", afterChunks: 4 },
    { kind: "cutShort", afterChunks: 4 },
    { kind: "reset", afterChunks: 4 },
  ] as const)("fails in the middle of a stream ($kind)", async (behaviour) => {
    server.next(behaviour);
    const heard: ModelPart[] = [];
    const broken = await failure(
      (async () => {
        for await (const part of model().stream(hello, { signal })) heard.push(part);
      })(),
    );
    expect(broken.kind).toBe("stream");
    expect(heard.length).toBeGreaterThan(0);
  });

  test("stops when it is told to", async () => {
    server.next({ kind: "stall" });
    const given = AbortSignal.timeout(50);
    await failure(model().generate(hello, { signal: given }));
    await expect.poll(() => server.abandoned).toBe(1);
  });
});
