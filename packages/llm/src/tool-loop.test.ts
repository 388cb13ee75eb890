import { agent } from "@plexus/core";
import type { ModelServer, StubRequest } from "@plexus/testing";
import { beforeEach, describe, expect, test } from "vitest";
import { z } from "zod";
import { deployment, useModels } from "../../../test/support/models.ts";
import { useMeshes } from "../../../test/support/mesh.ts";
import type { Models } from "./models.ts";
import { agentTool, tool, type Tool } from "./tool.ts";
import type { LoopEvent } from "./tool-loop.ts";

const meshes = useMeshes();
const models = useModels();

let server: ModelServer;
let llm: Models;

beforeEach(async () => {
  server = await models.server();
  llm = await models.open({ groups: { desk: { deployments: [deployment(server)] } } });
});

const sum = tool("sum", {
  description: "Adds two numbers",
  input: z.object({ a: z.number(), b: z.number() }),
  run: ({ a, b }) => a + b,
});

/** How many results of tools the model has seen. */
const results = ({ messages }: StubRequest) =>
  messages.filter(({ role }) => role === "tool").length;

/** Calls these tools, step by step, and then answers with what the tools have said. */
function script(...steps: { name: string; input: unknown }[][]): void {
  const ends: number[] = [];
  for (const step of steps) ends.push((ends.at(-1) ?? 0) + step.length);
  server.always((request) => {
    const step = steps[results(request) === 0 ? 0 : ends.indexOf(results(request)) + 1];
    if (step) return { kind: "reply", toolCalls: step };
    return { kind: "reply", text: request.messages.at(-1)!.text };
  });
}

describe("a tool loop", () => {
  test("calls tools until the model answers, and tells every step", async () => {
    script([{ name: "sum", input: { a: 1, b: 2 } }], [{ name: "sum", input: { a: 3, b: 4 } }]);
    const events: LoopEvent[] = [];
    const answer = await llm.run(
      "desk",
      { system: "Use the tools", prompt: "Add", tools: [sum] },
      { onStep: (event) => events.push(event) },
    );
    expect(answer).toMatchObject({ text: "7", steps: 3 });
    expect(answer.messages.map(({ role }) => role)).toEqual([
      "user",
      "assistant",
      "tool",
      "assistant",
      "tool",
      "assistant",
    ]);
    expect(events.map(({ type, step }) => `${type} ${step}`)).toEqual([
      "model 1",
      "tools 1",
      "model 2",
      "tools 2",
      "model 3",
    ]);
    expect(server.count).toBe(3);
    expect(answer.costUsd).toBeCloseTo(
      answer.usage.inputTokens / 1e6 + answer.usage.outputTokens / 5e5,
      12,
    );
    expect(server.calls[0]!.messages[0]).toEqual({ role: "system", text: "Use the tools" });
  });

  test("executes the calls of one step at the same time", async () => {
    script(["a", "b", "c"].map((name) => ({ name: "meet", input: { name } })));
    let arrived = 0;
    const { promise, resolve } = Promise.withResolvers<void>();
    const meet = tool("meet", {
      description: "Waits until all three are there",
      input: z.object({ name: z.string() }),
      run: async ({ name }) => {
        if (++arrived === 3) resolve();
        await promise;
        return name;
      },
    });
    const { messages } = await llm.run("desk", { prompt: "Meet", tools: [meet] });
    const told = messages.flatMap((message) => (message.role === "tool" ? message.results : []));
    expect(told.map(({ output }) => output)).toEqual(["a", "b", "c"]);
  });

  test("tells the model what went wrong: a tool that throws, an input that does not match, a tool that is not there, one that hangs", async () => {
    script([
      { name: "fail", input: {} },
      { name: "sum", input: { a: "x" } },
      { name: "nothing", input: {} },
      { name: "hang", input: {} },
    ]);
    const fail = tool("fail", {
      description: "Fails",
      input: z.object({}),
      run: () => {
        throw new Error("out of paper");
      },
    });
    const hang = tool("hang", {
      description: "Hangs",
      input: z.object({}),
      run: () => new Promise(() => undefined),
    });
    const tools = [sum, fail, hang];
    const { messages } = await llm.run("desk", { prompt: "Try", tools }, { toolTimeout: 100 });
    const told = messages.flatMap((message) => (message.role === "tool" ? message.results : []));
    expect(told.every(({ failed }) => failed)).toBe(true);
    const texts = told.map(({ output }) => String(output));
    expect(texts[0]).toBe("out of paper");
    expect(texts[1]).toMatch(/does not match[^]*a/);
    expect(texts[2]).toContain("no tool nothing");
    expect(texts[3]).toContain("timeout");
  });

  test("ends with the caller's signal, in the middle of a tool", async () => {
    script([{ name: "hang", input: {} }]);
    const seen: AbortSignal[] = [];
    const hang = tool("hang", {
      description: "Hangs",
      input: z.object({}),
      run: (_input, { signal }) => {
        seen.push(signal);
        return new Promise(() => undefined);
      },
    });
    const running = llm.run(
      "desk",
      { prompt: "Wait", tools: [hang] },
      { signal: AbortSignal.timeout(200) },
    );
    await expect(running).rejects.toThrow("timeout");
    expect(seen[0]!.aborted).toBe(true);
    expect(server.count).toBe(1);
  });

  test("has a bound of steps, and one of money", async () => {
    server.always({
      kind: "reply",
      toolCalls: [{ name: "sum", input: { a: 1, b: 1 } }],
      usage: { inputTokens: 0, outputTokens: 500 },
    });
    const ask = { prompt: "Add for ever", tools: [sum] };
    const exceeded = { code: "BUDGET_EXCEEDED" };
    await expect(llm.run("desk", ask, { maxSteps: 4 })).rejects.toMatchObject(exceeded);
    expect(server.count).toBe(4);
    // A tenth of a cent each: after three of them it is enough.
    await expect(llm.run("desk", ask, { maxCostUsd: 0.002_5 })).rejects.toMatchObject(exceeded);
    expect(server.count).toBe(7);
  });

  test("that is started again goes on where it was recorded, and pays for nothing twice", async () => {
    script([{ name: "once", input: {} }], [{ name: "once", input: {} }]);
    const ledger = new Map<string, unknown>();
    let executed = 0;
    const keys: string[] = [];
    const once = tool("once", {
      description: "Counts",
      input: z.object({}),
      run: (_input, { key }) => {
        keys.push(key);
        return ++executed;
      },
    });
    const effects = (dieBefore: string) => ({
      async effect<T>(name: string, run: (key: string) => T | Promise<T>): Promise<T> {
        if (name === dieBefore) throw new Error("killed");
        if (!ledger.has(name)) ledger.set(name, await run(`task:${name}`));
        return ledger.get(name) as T;
      },
    });
    for (const point of ["llm.1.tool.0", "llm.2.model", "llm.2.tool.0", "llm.3.model"]) {
      const running = llm.run(
        "desk",
        { prompt: "Count", tools: [once] },
        { effects: effects(point) },
      );
      await expect(running).rejects.toThrow("killed");
    }
    const answer = await llm.run(
      "desk",
      { prompt: "Count", tools: [once] },
      { effects: effects("") },
    );
    expect(answer).toMatchObject({ text: "2", steps: 3 });
    expect([server.count, executed]).toEqual([3, 2]);
    expect(keys).toEqual(["task:llm.1.tool.0", "task:llm.2.tool.0"]);
  });
});

describe("an agent as a tool", () => {
  const Broker = agent("broker", {
    description: "Knows prices",
    capabilities: {
      price: {
        description: "The price of a share",
        input: z.object({ symbol: z.string().transform((text) => text.toUpperCase()) }),
        output: z.object({ symbol: z.string(), cents: z.number() }),
      },
    },
  });

  test("is called through the mesh", async () => {
    const [host, caller] = [await meshes.join(), await meshes.join()];
    await host.host(Broker, { price: ({ symbol }) => ({ symbol, cents: 42 }) });
    await caller.waitFor(Broker);
    script([{ name: "broker_price", input: { symbol: "acme" } }]);
    const ask = agentTool(caller, Broker, "price", { timeout: "2s" });
    expect([ask.name, ask.description]).toEqual(["broker_price", "The price of a share"]);
    const { text } = await llm.run("desk", { prompt: "What does ACME cost?", tools: [ask] });
    expect(JSON.parse(text)).toEqual({ symbol: "ACME", cents: 42 });
    expect(server.calls[0]!.tools).toEqual(["broker_price"]);
  });

  test("that is away is told to the model like any other failure", async () => {
    const caller = await meshes.join();
    script([{ name: "ask", input: { symbol: "acme" } }]);
    const ask: Tool = agentTool(caller, Broker, "price", { name: "ask", timeout: 300 });
    const { messages } = await llm.run("desk", { prompt: "What does ACME cost?", tools: [ask] });
    expect(messages[2]).toMatchObject({ role: "tool", results: [{ failed: true }] });
  });
});
