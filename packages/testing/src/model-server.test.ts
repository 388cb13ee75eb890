import { describe, expect, test } from "vitest";
import { drawLatency } from "./model-behaviour.ts";
import { startModelServer, type ModelServer } from "./model-server.ts";
import { seededRandom } from "./seeded-random.ts";

// oxlint-disable-next-line typescript/no-explicit-any -- whatever a provider's client would read
type Json = Record<string, any>;

const chat = { model: "m", messages: [{ role: "user", content: "Hello there" }] };

function post(server: ModelServer, path: string, body: object, signal?: AbortSignal) {
  return fetch(`http://127.0.0.1:${server.port}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: "Bearer key-1" },
    body: JSON.stringify(body),
    ...(signal ? { signal } : {}),
  });
}

const ask = (server: ModelServer, body: object = chat, signal?: AbortSignal) =>
  post(server, "/v1/chat/completions", body, signal);

/** What a server with this seed does with a hundred requests, of which a third should fail. */
async function outcomes(seed: number): Promise<string[]> {
  await using server = await startModelServer({ seed });
  server.faults({ rate: 0.3, of: [{ kind: "status", status: 500 }] });
  for (let i = 0; i < 100; i++) await (await ask(server)).text();
  return server.calls.map((call) => call.did);
}

/** The data of each server-sent event. */
async function events(response: Response): Promise<string[]> {
  return (await response.text())
    .split("\n")
    .filter((line) => line.startsWith("data: "))
    .map((line) => line.slice("data: ".length));
}

describe("an OpenAI client", () => {
  test("is answered by something that says it is a stub", async () => {
    await using server = await startModelServer();
    const response = await ask(server);
    expect(response.headers.get("x-plexus-stub")).toBe("1");
    const { choices, usage, system_fingerprint } = (await response.json()) as Json;
    expect(choices[0]).toEqual({
      index: 0,
      message: { role: "assistant", content: "[stub model] You said: Hello there" },
      finish_reason: "stop",
    });
    expect(usage).toEqual({ prompt_tokens: 3, completion_tokens: 9, total_tokens: 12 });
    expect(system_fingerprint).toBe("plexus_stub");
  });

  test("gets a stream in pieces, its usage, and [DONE]", async () => {
    await using server = await startModelServer();
    server.next({ kind: "reply", text: "one two", usage: { inputTokens: 5, outputTokens: 7 } });
    const data = await events(await ask(server, { ...chat, stream: true }));
    const chunks = data.slice(0, -1).map((text) => JSON.parse(text) as Json);
    expect(chunks.map((chunk) => chunk["choices"][0]?.delta.content)).toEqual([
      "one ",
      "two",
      undefined,
      undefined,
    ]);
    expect(chunks.at(-2)!["choices"][0].finish_reason).toBe("stop");
    expect(chunks.at(-1)!["usage"].completion_tokens).toBe(7);
    expect(data.at(-1)).toBe("[DONE]");
  });

  test("gets tool calls, streamed and not", async () => {
    await using server = await startModelServer();
    server.always({ kind: "reply", toolCalls: [{ name: "add", input: { a: 1 } }] });
    const tools = [{ type: "function", function: { name: "add", parameters: {} } }];
    const whole = (await (await ask(server, { ...chat, tools })).json()) as Json;
    expect(whole["choices"][0].message.tool_calls[0].function).toEqual({
      name: "add",
      arguments: '{"a":1}',
    });
    expect(whole["choices"][0].finish_reason).toBe("tool_calls");
    const data = await events(await ask(server, { ...chat, tools, stream: true }));
    const deltas = data.slice(0, -1).flatMap((text) => JSON.parse(text).choices[0]?.delta ?? []);
    const pieces = deltas.flatMap((delta) => delta.tool_calls ?? []);
    expect(pieces.map((piece) => piece.function.arguments).join("")).toBe('{"a":1}');
    expect(server.calls.map((call) => call.tools)).toEqual([["add"], ["add"]]);
  });

  test("gets the smallest value that matches its JSON schema", async () => {
    await using server = await startModelServer();
    const schema = {
      type: "object",
      properties: {
        side: { enum: ["buy", "sell"] },
        score: { type: "number", minimum: -1 },
        why: { type: "string" },
        tags: { type: "array", items: { type: "string" }, minItems: 1 },
      },
    };
    const format = { type: "json_schema", json_schema: { name: "x", schema } };
    const { choices } = (await (
      await ask(server, { ...chat, response_format: format })
    ).json()) as Json;
    expect(JSON.parse(choices[0].message.content)).toEqual({
      side: "buy",
      score: -1,
      why: "stub",
      tags: ["stub"],
    });
  });
});

test("an Anthropic client gets content blocks, streamed and not", async () => {
  await using server = await startModelServer();
  const reply = {
    kind: "reply",
    text: "one two",
    toolCalls: [{ name: "add", input: { a: 1 } }],
  } as const;
  server.always(reply);
  const body = { ...chat, system: "Be brief", max_tokens: 9 };
  const whole = (await (await post(server, "/v1/messages", body)).json()) as Json;
  expect(whole["content"]).toEqual([
    { type: "text", text: "one two" },
    { type: "tool_use", id: "call_1_0", name: "add", input: { a: 1 } },
  ]);
  expect(whole["stop_reason"]).toBe("tool_use");
  const data = await events(await post(server, "/v1/messages", { ...body, stream: true }));
  const parts = data.map((text) => JSON.parse(text) as Json);
  expect(parts.map((part) => part["type"]).join(" ")).toBe(
    "message_start content_block_start content_block_delta content_block_delta content_block_stop " +
      "content_block_start content_block_delta content_block_stop message_delta message_stop",
  );
  expect(server.calls[0]).toMatchObject({
    wire: "anthropic",
    messages: [{ role: "system", text: "Be brief" }, { role: "user" }],
    maxTokens: 9,
  });
});

test("a Google client gets candidates, streamed and not", async () => {
  await using server = await startModelServer();
  const body = { contents: [{ role: "user", parts: [{ text: "Hello" }] }] };
  const path = "/v1beta/models/gem:generateContent";
  const whole = (await (await post(server, path, body)).json()) as Json;
  expect(whole["candidates"][0].content.parts[0].text).toBe("[stub model] You said: Hello");
  const streamed = await post(server, "/v1beta/models/gem:streamGenerateContent?alt=sse", body);
  const parts = (await events(streamed)).map((text) => JSON.parse(text) as Json);
  expect(parts.at(-1)!["candidates"][0].finishReason).toBe("STOP");
  expect(server.calls.map(({ model, stream }) => [model, stream])).toEqual([
    ["gem", false],
    ["gem", true],
  ]);
});

describe("it fails as it is told", () => {
  test("with a status and Retry-After, once", async () => {
    await using server = await startModelServer();
    server.next({ kind: "status", status: 429, retryAfter: "7" });
    const limited = await ask(server);
    expect([limited.status, limited.headers.get("retry-after")]).toEqual([429, "7"]);
    expect((await ask(server)).status).toBe(200);
    expect(server.calls.map((call) => call.did)).toEqual(["status", "reply"]);
  });

  test("for a key that it does not know", async () => {
    await using server = await startModelServer({ keys: ["another"] });
    expect((await ask(server)).status).toBe(401);
    expect(server.calls[0]).toMatchObject({ did: "unauthorized", key: "key-1" });
  });

  test("with bodies that are no completion", async () => {
    await using server = await startModelServer();
    server.next({ kind: "html" }, { kind: "invalidJson" }, { kind: "wrongShape" });
    expect(await (await ask(server)).text()).toMatch(/^<!doctype html>/);
    await expect((await ask(server)).json()).rejects.toThrow("JSON");
    expect(await (await ask(server)).json()).toEqual({ answer: 42 });
  });

  test("by a reset, before the answer and within it", async () => {
    await using server = await startModelServer();
    server.next({ kind: "reset" }, { kind: "reset", afterChunks: 1 });
    await expect(ask(server)).rejects.toThrow("fetch failed");
    const response = await ask(server, { ...chat, stream: true });
    await expect(response.text()).rejects.toThrow("terminated");
  });

  test("by silence, and it counts who does not wait", async () => {
    await using server = await startModelServer();
    server.next({ kind: "stall" });
    await expect(ask(server, chat, AbortSignal.timeout(50))).rejects.toThrow("timeout");
    await expect.poll(() => server.abandoned).toBe(1);
    expect(server.open.now).toBe(0);
  });

  test("by an error within a stream, and by a stream that just ends", async () => {
    await using server = await startModelServer();
    server.next({ kind: "streamError", afterChunks: 2 }, { kind: "cutShort", afterChunks: 2 });
    const broken = await events(await ask(server, { ...chat, stream: true }));
    expect(broken).toHaveLength(3);
    expect(JSON.parse(broken[2]!)).toHaveProperty("error.message");
    expect(await events(await ask(server, { ...chat, stream: true }))).toHaveLength(2);
  });

  test("for the share of requests that was asked for, the same ones with the same seed", async () => {
    const [first, second] = [await outcomes(7), await outcomes(7)];
    expect(first).toEqual(second);
    const failed = first.filter((did) => did === "status").length;
    expect(failed).toBeGreaterThan(20);
    expect(failed).toBeLessThan(40);
  });
});

test("latencies follow the median and the 99th percentile asked for", () => {
  const random = seededRandom(3);
  const drawn = Array.from({ length: 20_000 }, () => drawLatency({ p50: 100, p99: 900 }, random));
  drawn.sort((a, b) => a - b);
  expect(drawn[10_000]).toBeGreaterThan(95);
  expect(drawn[10_000]).toBeLessThan(105);
  expect(drawn[19_800]).toBeGreaterThan(800);
  expect(drawn[19_800]).toBeLessThan(1_000);
});
